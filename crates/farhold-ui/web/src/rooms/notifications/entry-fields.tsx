// Fields that all targets and matchers have.

import { Checkbox, TextInput } from "@mantine/core";
import type { Form } from "../../parts/dialog";
import { texts } from "../../texts";

const words = texts.notifications;

export type EntryValues = { name: string; enable: boolean; comment: string };

/** Returns the values of an entry, or those that a new one begins with. */
export function entryValues(stored?: { name: string; disable?: boolean; comment?: string }): EntryValues {
  return { name: stored?.name ?? "", enable: !stored?.disable, comment: stored?.comment ?? "" };
}

/** Returns what is wrong with them. */
export function wrongEntry({ name }: { name: string }): { name?: string } {
  return name.trim() === "" ? { name: texts.common.required } : {};
}

/** Returns the complaint that fields are empty, for those that are. */
export function missing<Name extends string>(
  values: Record<Name, string>,
  names: readonly Name[],
): Partial<Record<Name, string>> {
  const empty = names.filter((name) => values[name].trim() === "");
  return Object.fromEntries(empty.map((name) => [name, texts.common.required])) as Partial<Record<Name, string>>;
}

/** Returns what differs, for values that cannot be taken away. */
export function differing<Values extends object>(before: Values, after: Values): Partial<Values> {
  const names = (Object.keys(after) as (keyof Values)[]).filter((name) => before[name] !== after[name]);
  return Object.fromEntries(names.map((name) => [name, after[name]])) as Partial<Values>;
}

export function NameField<Values extends EntryValues>({ form, isNew }: { form: Form<Values>; isNew: boolean }) {
  if (!isNew) return null;
  return (
    <TextInput
      label={texts.common.name}
      description={words.nameHint}
      autoComplete="off"
      data-autofocus
      required
      {...form.getInputProps("name")}
    />
  );
}

export function EntryFields<Values extends EntryValues>({ form }: { form: Form<Values> }) {
  return (
    <>
      <TextInput label={texts.common.comment} autoComplete="off" {...form.getInputProps("comment")} />
      <Checkbox label={words.isEnabled} {...form.getInputProps("enable", { type: "checkbox" })} />
    </>
  );
}
