// Targets that are called by a request to any address.

import { Group, Select, Textarea, TextInput } from "@mantine/core";
import { changesOf, withoutEmpty } from "../../api/changes";
import { call, type Data } from "../../api/client";
import { useAnswer } from "../../api/hooks";
import { FormDialog } from "../../parts/dialog";
import { OnceInDialog } from "../../parts/once";
import { texts } from "../../texts";
import { fromBase64, toBase64 } from "./base64";
import { differing, EntryFields, entryValues, missing, NameField, wrongEntry, type EntryValues } from "./entry-fields";
import { flawOf, formatNamedValue, parseNamedValue, type Flaw, type NamedValue } from "./named-values";
import { NamedValuesField } from "./named-values-field";
import { dialogTitle, useReadOnly, type StoredProps, type TargetProps } from "./target-props";

type Stored = Data<"get", "/config/notifications/endpoints/webhook/{name}">;
type Method = Stored["method"];

const words = texts.notifications.webhook;

const METHODS: readonly Method[] = ["post", "put", "get"];

type WebhookValues = EntryValues & {
  url: string;
  method: Method;
  header: NamedValue[];
  body: string;
  secret: NamedValue[];
};

export function WebhookTarget({ name, onClose }: TargetProps) {
  return name === undefined ? <WebhookForm onClose={onClose} /> : <StoredWebhook name={name} onClose={onClose} />;
}

function StoredWebhook({ name, onClose }: { name: string; onClose: () => void }) {
  const answer = useAnswer("/config/notifications/endpoints/webhook/{name}", { params: { path: { name } } });
  return (
    <OnceInDialog title={dialogTitle("webhook", name)} query={answer} onClose={onClose}>
      {({ data, digest }) => <WebhookForm stored={data} digest={digest} onClose={onClose} />}
    </OnceInDialog>
  );
}

function sayFlaw(flaw: Flaw | undefined): string | undefined {
  if (!flaw) return undefined;
  if (flaw.what === "nameless") return words.nameNeeded;
  return flaw.what === "twice" ? words.nameTwice(flaw.name) : words.valueNeeded(flaw.name);
}

function wrongLists({ header, secret }: WebhookValues): { header?: string; secret?: string } {
  const [badHeader, badSecret] = [sayFlaw(flawOf(header, false)), sayFlaw(flawOf(secret, true))];
  return { ...(badHeader ? { header: badHeader } : {}), ...(badSecret ? { secret: badSecret } : {}) };
}

function WebhookForm({ stored, digest, onClose }: StoredProps<Stored>) {
  const readOnly = useReadOnly();
  const before: WebhookValues = {
    ...entryValues(stored),
    url: stored?.url ?? "",
    method: stored?.method ?? "post",
    header: stored?.header?.map(parseNamedValue) ?? [],
    body: fromBase64(stored?.body ?? ""),
    secret: stored?.secret?.map(parseNamedValue) ?? [],
  };
  return (
    <FormDialog<WebhookValues, unknown>
      title={dialogTitle("webhook", stored?.name)}
      values={before}
      validate={(values) => ({ ...wrongEntry(values), ...missing(values, ["url"]), ...wrongLists(values) })}
      send={({ name, enable, url, method, comment, header, body, secret }) => {
        const optional = {
          comment,
          header: header.map(formatNamedValue),
          body: toBase64(body),
          secret: secret.map(formatNamedValue),
        };
        return stored
          ? call("put", "/config/notifications/endpoints/webhook/{name}", {
              params: { path: { name } },
              body: {
                ...differing({ url: before.url, method: before.method }, { url, method }),
                ...changesOf<typeof optional>(stored, optional),
                ...(enable === before.enable ? {} : { disable: !enable }),
                ...(digest ? { digest } : {}),
              },
            })
          : call("post", "/config/notifications/endpoints/webhook", {
              body: { name: name.trim(), url, method, ...withoutEmpty(optional), ...(enable ? {} : { disable: true }) },
            });
      }}
      refresh={["/config/notifications/targets", "/config/notifications/endpoints/webhook/{name}"]}
      done={texts.common.saved}
      {...readOnly}
      {...(stored ? {} : { submit: texts.common.add })}
      size="xl"
      onClose={onClose}
    >
      {(form) => (
        <>
          <NameField form={form} isNew={!stored} />
          <Group align="flex-start" wrap="nowrap">
            <Select
              label={words.method}
              data={METHODS.map((method) => ({ value: method, label: method.toUpperCase() }))}
              allowDeselect={false}
              w="7rem"
              {...form.getInputProps("method")}
            />
            <TextInput label={words.url} autoComplete="off" required flex={1} {...form.getInputProps("url")} />
          </Group>
          <NamedValuesField
            title={words.headers}
            what={words.header}
            add={words.addHeader}
            values={form.values.header}
            onChange={(header) => form.setFieldValue("header", header)}
            error={form.errors.header}
          />
          <Textarea
            label={words.body}
            description={words.templateHint}
            autosize
            minRows={4}
            maxRows={16}
            spellCheck={false}
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
            {...form.getInputProps("body")}
          />
          <NamedValuesField
            title={words.secrets}
            hint={words.secretsHint}
            what={words.secret}
            add={words.addSecret}
            values={form.values.secret}
            onChange={(secret) => form.setFieldValue("secret", secret)}
            error={form.errors.secret}
            isSecret
          />
          <EntryFields form={form} />
        </>
      )}
    </FormDialog>
  );
}
