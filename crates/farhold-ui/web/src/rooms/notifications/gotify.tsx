// Targets that are applications of a Gotify server.

import { TextInput } from "@mantine/core";
import { changesOf, withoutEmpty } from "../../api/changes";
import { call, type Data } from "../../api/client";
import { useAnswer } from "../../api/hooks";
import { FormDialog } from "../../parts/dialog";
import { SecretField } from "../../parts/fields/secret-field";
import { OnceInDialog } from "../../parts/once";
import { texts } from "../../texts";
import { differing, EntryFields, entryValues, missing, NameField, wrongEntry } from "./entry-fields";
import { dialogTitle, useReadOnly, type StoredProps, type TargetProps } from "./target-props";

type Stored = Data<"get", "/config/notifications/endpoints/gotify/{name}">;

const words = texts.notifications.gotify;

export function GotifyTarget({ name, onClose }: TargetProps) {
  return name === undefined ? <GotifyForm onClose={onClose} /> : <StoredGotify name={name} onClose={onClose} />;
}

function StoredGotify({ name, onClose }: { name: string; onClose: () => void }) {
  const answer = useAnswer("/config/notifications/endpoints/gotify/{name}", { params: { path: { name } } });
  return (
    <OnceInDialog title={dialogTitle("gotify", name)} query={answer} onClose={onClose}>
      {({ data, digest }) => <GotifyForm stored={data} digest={digest} onClose={onClose} />}
    </OnceInDialog>
  );
}

function GotifyForm({ stored, digest, onClose }: StoredProps<Stored>) {
  const readOnly = useReadOnly();
  const before = { ...entryValues(stored), server: stored?.server ?? "", token: "" };
  return (
    <FormDialog
      title={dialogTitle("gotify", stored?.name)}
      values={before}
      validate={(values) => ({ ...wrongEntry(values), ...missing(values, stored ? ["server"] : ["server", "token"]) })}
      send={({ name, enable, comment, server, token }) =>
        stored
          ? call("put", "/config/notifications/endpoints/gotify/{name}", {
              params: { path: { name } },
              body: {
                ...differing({ server: before.server, token: "" }, { server, token }),
                ...changesOf<{ comment: string }>(before, { comment }),
                ...(enable === before.enable ? {} : { disable: !enable }),
                ...(digest ? { digest } : {}),
              },
            })
          : call("post", "/config/notifications/endpoints/gotify", {
              body: {
                name: name.trim(),
                server,
                token,
                ...withoutEmpty({ comment }),
                ...(enable ? {} : { disable: true }),
              },
            })
      }
      refresh={["/config/notifications/targets", "/config/notifications/endpoints/gotify/{name}"]}
      done={texts.common.saved}
      {...readOnly}
      {...(stored ? {} : { submit: texts.common.add })}
      onClose={onClose}
    >
      {(form) => (
        <>
          <NameField form={form} isNew={!stored} />
          <TextInput label={words.server} type="url" autoComplete="off" required {...form.getInputProps("server")} />
          <SecretField
            form={form}
            name="token"
            label={words.token}
            {...(stored ? { description: texts.notifications.smtp.keep } : { required: true })}
          />
          <EntryFields form={form} />
        </>
      )}
    </FormDialog>
  );
}
