// An amount of bytes with a unit, as limits of rates and bursts have it.

import { Autocomplete } from "@mantine/core";
import { texts } from "../../texts";
import type { Form } from "../dialog";
import { rateChoices } from "./rate";

interface RateFieldProps<Values extends Record<string, unknown>> {
  form: Form<Values>;
  /** Name of the form's field. */
  name: keyof Values & string;
  label: string;
  description?: string;
}

/** A field for an amount such as `20 MiB`; a number alone is completed by a unit that can be chosen. */
export function RateField<Values extends Record<string, unknown>>({
  form,
  name,
  label,
  description = texts.common.rateHint,
}: RateFieldProps<Values>) {
  const typed = (form.values as Record<string, unknown>)[name];
  return (
    <Autocomplete
      label={label}
      description={description}
      data={rateChoices(typeof typed === "string" ? typed : "")}
      filter={({ options }) => options}
      {...form.getInputProps(name)}
    />
  );
}
