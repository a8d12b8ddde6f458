// Fields for what something works on: a datastore, a namespace in it, and how far down it goes.

import { Autocomplete, Select } from "@mantine/core";
import { wordsOf } from "../../api/failure";
import { useRead } from "../../api/hooks";
import { useDatastores } from "../../api/server";
import { texts } from "../../texts";
import type { Form } from "../dialog";

interface FieldProps<Values extends Record<string, unknown>> {
  form: Form<Values>;
  /** Name of the form's field. */
  name: keyof Values & string;
  label?: string;
}

/** One of the datastores that the user may see. */
export function DatastoreField<Values extends Record<string, unknown>>({
  form,
  name,
  label = texts.common.datastore,
}: FieldProps<Values>) {
  const datastores = useDatastores();
  const current = String(form.values[name] ?? "");
  const known = (datastores.data ?? []).map((entry) => entry.store);
  const names = [...new Set(current === "" ? known : [...known, current])].sort();
  return (
    <Select
      label={label}
      data={names}
      required
      searchable
      allowDeselect={false}
      {...(datastores.error ? { description: wordsOf(datastores.error) } : {})}
      {...form.getInputProps(name)}
      value={current === "" ? null : current}
    />
  );
}

/** A namespace of a datastore; empty for the root. Also what is not in the list can be typed. */
export function NamespaceField<Values extends Record<string, unknown>>({
  form,
  name,
  label = texts.common.namespace,
  store,
}: FieldProps<Values> & { store: string }) {
  const namespaces = useRead(
    "/admin/datastore/{store}/namespace",
    { params: { path: { store } } },
    { enabled: store !== "" },
  );
  const names = (namespaces.data ?? []).map((entry) => entry.ns).filter((ns) => ns !== "");
  return (
    <Autocomplete
      label={label}
      placeholder={texts.common.rootNamespace}
      data={names}
      limit={200}
      maxDropdownHeight={260}
      description={namespaces.error ? wordsOf(namespaces.error) : texts.upkeep.namespaceHint}
      {...form.getInputProps(name)}
    />
  );
}

const DEPTHS = ["0", "1", "2", "3", "4", "5", "6", "7"];
/** Stands for all levels in the list, where nothing may be empty. */
const FULL = "full";

/** How many levels below the namespace belong to it; the field holds a text, empty for all. */
export function DepthField<Values extends Record<string, unknown>>({
  form,
  name,
  label = texts.upkeep.depth,
}: FieldProps<Values>) {
  const input = form.getInputProps(name);
  return (
    <Select
      label={label}
      description={texts.upkeep.depthHint}
      data={[
        { value: FULL, label: texts.upkeep.depthFull },
        ...DEPTHS.map((depth) => ({ value: depth, label: texts.upkeep.depths(Number(depth)) })),
      ]}
      allowDeselect={false}
      {...input}
      value={String(form.values[name] ?? "") || FULL}
      onChange={(value) => input.onChange(value === FULL ? "" : (value ?? ""))}
    />
  );
}
