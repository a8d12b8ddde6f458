// Targets that get mail by a mail server.

import { Alert, Group, NumberInput, Select, TextInput } from "@mantine/core";
import { changesOf, withoutEmpty } from "../../api/changes";
import { call, type Data } from "../../api/client";
import { useAnswer } from "../../api/hooks";
import { FormDialog, type Form } from "../../parts/dialog";
import { SecretField } from "../../parts/fields/secret-field";
import { OnceInDialog } from "../../parts/once";
import { texts } from "../../texts";
import { differing, EntryFields, entryValues, missing, NameField, wrongEntry, type EntryValues } from "./entry-fields";
import { MailFields, mailValues, wrongMail, type MailValues } from "./mail-fields";
import { dialogTitle, useReadOnly, type StoredProps, type TargetProps } from "./target-props";

type Stored = Data<"get", "/config/notifications/endpoints/smtp/{name}">;
type Mode = NonNullable<Stored["mode"]>;

const words = texts.notifications.smtp;

const MODES: readonly Mode[] = ["tls", "starttls", "insecure"];

type SmtpValues = EntryValues &
  MailValues & { server: string; mode: Mode; port: number | string; username: string; password: string };

export function SmtpTarget({ name, onClose }: TargetProps) {
  return name === undefined ? <SmtpForm onClose={onClose} /> : <StoredSmtp name={name} onClose={onClose} />;
}

function StoredSmtp({ name, onClose }: { name: string; onClose: () => void }) {
  const answer = useAnswer("/config/notifications/endpoints/smtp/{name}", { params: { path: { name } } });
  return (
    <OnceInDialog title={dialogTitle("smtp", name)} query={answer} onClose={onClose}>
      {({ data, digest }) => <SmtpForm stored={data} digest={digest} onClose={onClose} />}
    </OnceInDialog>
  );
}

function SmtpForm({ stored, digest, onClose }: StoredProps<Stored>) {
  const readOnly = useReadOnly();
  const before: SmtpValues = {
    ...entryValues(stored),
    ...mailValues(stored),
    server: stored?.server ?? "",
    mode: stored?.mode ?? "tls",
    port: stored?.port ?? "",
    username: stored?.username ?? "",
    password: "",
  };
  return (
    <FormDialog<SmtpValues, unknown>
      title={dialogTitle("smtp", stored?.name)}
      values={before}
      validate={(values) => ({
        ...wrongEntry(values),
        ...wrongMail(values),
        ...missing(values, ["server", "from-address"]),
      })}
      send={({ name, enable, server, "from-address": from, password, port, ...rest }) => {
        const optional = { ...rest, port: port === "" ? undefined : Number(port) };
        const secret = password === "" ? {} : { password };
        if (!stored)
          return call("post", "/config/notifications/endpoints/smtp", {
            body: {
              name: name.trim(),
              server,
              "from-address": from,
              ...withoutEmpty(optional),
              ...secret,
              ...(enable ? {} : { disable: true }),
            },
          });
        const { delete: gone = [], ...changed } = changesOf<typeof optional>(
          { ...before, port: stored.port, mode: stored.mode ?? "tls" },
          optional,
        );
        // Nobody logs in any more: the password would be kept for nothing.
        const reset = gone.includes("username") ? [...gone, "password" as const] : gone;
        return call("put", "/config/notifications/endpoints/smtp/{name}", {
          params: { path: { name } },
          body: {
            ...differing(
              { server: before.server, "from-address": before["from-address"] },
              { server, "from-address": from },
            ),
            ...changed,
            ...(gone.includes("username") ? {} : secret),
            ...(reset.length > 0 ? { delete: reset } : {}),
            ...(enable === before.enable ? {} : { disable: !enable }),
            ...(digest ? { digest } : {}),
          },
        });
      }}
      refresh={["/config/notifications/targets", "/config/notifications/endpoints/smtp/{name}"]}
      done={texts.common.saved}
      {...readOnly}
      {...(stored ? {} : { submit: texts.common.add })}
      onClose={onClose}
    >
      {(form) => (
        <>
          <NameField form={form} isNew={!stored} />
          <ServerFields form={form} isNew={!stored} />
          <MailFields form={form} needsFrom />
          <EntryFields form={form} />
        </>
      )}
    </FormDialog>
  );
}

function ServerFields({ form, isNew }: { form: Form<SmtpValues>; isNew: boolean }) {
  return (
    <>
      <TextInput label={words.server} autoComplete="off" required {...form.getInputProps("server")} />
      <Group grow align="flex-start">
        <Select
          label={words.mode}
          data={MODES.map((mode) => ({ value: mode, label: words.modes[mode] }))}
          allowDeselect={false}
          {...form.getInputProps("mode")}
        />
        <NumberInput
          label={words.port}
          description={words.portHint}
          inputWrapperOrder={["label", "input", "description", "error"]}
          min={1}
          max={65535}
          allowDecimal={false}
          hideControls
          {...form.getInputProps("port")}
        />
      </Group>
      {form.values.mode === "insecure" && (
        <Alert color="yellow" variant="light">
          {words.insecureWarning}
        </Alert>
      )}
      <Group grow align="flex-start">
        <TextInput
          label={words.user}
          description={words.userHint}
          inputWrapperOrder={["label", "input", "description", "error"]}
          autoComplete="off"
          {...form.getInputProps("username")}
        />
        <SecretField
          form={form}
          name="password"
          label={words.password}
          {...(isNew ? {} : { description: words.keep })}
        />
      </Group>
    </>
  );
}
