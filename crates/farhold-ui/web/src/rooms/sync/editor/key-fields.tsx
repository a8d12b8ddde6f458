// The encryption keys of a job: what a push encrypts with, what a pull may decrypt with.

import { MultiSelect, Select, Stack, Text } from "@mantine/core";
import { useRead } from "../../../api/hooks";
import type { Form } from "../../../parts/dialog";
import { Failure } from "../../../parts/failure";
import { texts } from "../../../texts";
import type { SyncValues } from "./values";

const words = texts.syncEditor;

/** `storedKey`: the active key that the job has now. */
export function KeyFields({ form, storedKey }: { form: Form<SyncValues>; storedKey: string | undefined }) {
  const keys = useRead("/config/encryption-keys", { params: { query: { "include-archived": true } } });
  const isPush = form.values.kind === "push";
  const active = form.values["active-encryption-key"];
  const associated = form.values["associated-key"];
  const known = keys.data ?? [];
  const archived = new Set(known.filter((key) => key["archived-at"] !== undefined).map(({ id }) => id));
  const option = (id: string) => ({ value: id, label: archived.has(id) ? words.keyArchived(id) : id });
  const all = [...new Set([...known.map(({ id }) => id), ...associated])];
  const usable = [
    ...new Set([...known.map(({ id }) => id).filter((id) => !archived.has(id)), ...(active ? [active] : [])]),
  ];
  const isReplaced = isPush && storedKey !== undefined && storedKey !== active && !associated.includes(storedKey);
  const input = form.getInputProps("active-encryption-key");
  return (
    <Stack gap="sm">
      <Failure error={keys.error} />
      {isPush && (
        <Select
          label={words.activeKey}
          description={words.activeKeyHint}
          placeholder={words.activeKeyNone}
          clearable
          clearButtonProps={{ "aria-label": words.activeKeyNone }}
          data={usable.map(option)}
          {...input}
          value={active === "" ? null : active}
          onChange={(value) => input.onChange(value ?? "")}
        />
      )}
      {isReplaced && <Text size="sm">{words.formerKey(storedKey)}</Text>}
      <MultiSelect
        label={isPush ? words.keysPush : words.keysPull}
        description={isPush ? words.keysPushHint : words.keysPullHint}
        data={all.map(option)}
        searchable
        {...form.getInputProps("associated-key")}
      />
      {keys.data && all.length === 0 && (
        <Text size="sm" c="dimmed">
          {words.keysNone}
        </Text>
      )}
    </Stack>
  );
}
