// Making a key, or bringing one along.

import { Text, TextInput } from "@mantine/core";
import { call } from "../../api/client";
import { FormDialog, type Form } from "../../parts/dialog";
import { TextFileField } from "../../parts/fields/text-file-field";
import { texts } from "../../texts";
import { keyFileOf, type NewKey } from "./key-file";

const words = texts.keys;

type Values = { id: string; key: string };

const create = async (id: string, key?: string): Promise<NewKey> => {
  const body = { id: id.trim(), ...(key === undefined ? {} : { key }) };
  return (await call("post", "/config/encryption-keys", { body })).data;
};

interface CreationProps {
  onMade: (id: string, key: NewKey) => void;
  onClose: () => void;
}

export function KeyCreation({ onMade, onClose }: CreationProps) {
  return (
    <FormDialog
      title={words.createTitle}
      size="md"
      values={{ id: "" }}
      validate={idFaults}
      submit={words.create}
      send={async ({ id }) => ({ id: id.trim(), key: await create(id) })}
      refresh={["/config/encryption-keys"]}
      onDone={({ id, key }) => onMade(id, key)}
      onClose={onClose}
    >
      {(form) => (
        <>
          <Text size="sm">{words.createHint}</Text>
          <TextInput
            label={texts.common.name}
            description={words.nameHint}
            required
            data-autofocus
            autoComplete="off"
            {...form.getInputProps("id")}
          />
        </>
      )}
    </FormDialog>
  );
}

export function KeyImport({ onClose }: { onClose: () => void }) {
  return (
    <FormDialog<Values, string>
      title={words.importTitle}
      values={{ id: "", key: "" }}
      validate={(values) => {
        const fault = values.key.trim() === "" ? texts.common.required : keyFileOf(values.key).fault;
        return { ...idFaults(values), ...(fault ? { key: fault } : {}) };
      }}
      submit={words.import}
      // The answer holds the key, which its owner has already: it is dropped at once.
      send={({ id, key }) => create(id, key).then(() => id.trim())}
      refresh={["/config/encryption-keys"]}
      done={words.imported}
      onClose={onClose}
    >
      {(form) => <ImportFields form={form} />}
    </FormDialog>
  );
}

function ImportFields({ form }: { form: Form<Values> }) {
  const { fingerprint } = keyFileOf(form.getValues().key);
  return (
    <>
      <Text size="sm">{words.importHint}</Text>
      <TextInput
        label={texts.common.name}
        description={words.nameHint}
        required
        data-autofocus
        autoComplete="off"
        {...form.getInputProps("id")}
      />
      <TextFileField
        form={form}
        name="key"
        label={words.keyFile}
        description={words.keyFileHint}
        accept=".json,.enc,.key,application/json"
        required
      />
      {fingerprint && (
        <Text size="sm" c="dimmed" style={{ overflowWrap: "anywhere" }}>
          {words.keyFingerprint(fingerprint)}
        </Text>
      )}
    </>
  );
}

function idFaults({ id }: { id: string }): { id?: string } {
  return id.trim() === "" ? { id: texts.common.required } : {};
}
