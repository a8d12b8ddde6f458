// Targets that get mail by the sendmail program of the server.

import { changesOf, withoutEmpty } from "../../api/changes";
import { call, type Data } from "../../api/client";
import { useAnswer } from "../../api/hooks";
import { FormDialog } from "../../parts/dialog";
import { OnceInDialog } from "../../parts/once";
import { texts } from "../../texts";
import { EntryFields, entryValues, NameField, wrongEntry } from "./entry-fields";
import { MailFields, mailValues, wrongMail } from "./mail-fields";
import { dialogTitle, useReadOnly, type StoredProps, type TargetProps } from "./target-props";

type Stored = Data<"get", "/config/notifications/endpoints/sendmail/{name}">;

export function SendmailTarget({ name, onClose }: TargetProps) {
  return name === undefined ? <SendmailForm onClose={onClose} /> : <StoredSendmail name={name} onClose={onClose} />;
}

function StoredSendmail({ name, onClose }: { name: string; onClose: () => void }) {
  const answer = useAnswer("/config/notifications/endpoints/sendmail/{name}", { params: { path: { name } } });
  return (
    <OnceInDialog title={dialogTitle("sendmail", name)} query={answer} onClose={onClose}>
      {({ data, digest }) => <SendmailForm stored={data} digest={digest} onClose={onClose} />}
    </OnceInDialog>
  );
}

function SendmailForm({ stored, digest, onClose }: StoredProps<Stored>) {
  const readOnly = useReadOnly();
  const before = { ...entryValues(stored), ...mailValues(stored) };
  return (
    <FormDialog
      title={dialogTitle("sendmail", stored?.name)}
      values={before}
      validate={(values) => ({ ...wrongEntry(values), ...wrongMail(values) })}
      send={({ name, enable, ...rest }) =>
        stored
          ? call("put", "/config/notifications/endpoints/sendmail/{name}", {
              params: { path: { name } },
              body: {
                ...changesOf<typeof rest>(before, rest),
                ...(enable === before.enable ? {} : { disable: !enable }),
                ...(digest ? { digest } : {}),
              },
            })
          : call("post", "/config/notifications/endpoints/sendmail", {
              body: { name: name.trim(), ...withoutEmpty(rest), ...(enable ? {} : { disable: true }) },
            })
      }
      refresh={["/config/notifications/targets", "/config/notifications/endpoints/sendmail/{name}"]}
      done={texts.common.saved}
      {...readOnly}
      {...(stored ? {} : { submit: texts.common.add })}
      onClose={onClose}
    >
      {(form) => (
        <>
          <NameField form={form} isNew={!stored} />
          <MailFields form={form} needsFrom={false} />
          <EntryFields form={form} />
        </>
      )}
    </FormDialog>
  );
}
