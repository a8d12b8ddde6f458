// A calendar event, such as `daily` or `mon..fri 02:30`.

import { Autocomplete } from "@mantine/core";
import type { Form } from "../dialog";
import { texts } from "../../texts";

const EXAMPLES = ["hourly", "daily", "weekly", "*:0/15", "02:30", "mon..fri 21:00", "sat 02:00", "monthly"];

interface ScheduleFieldProps<Values extends Record<string, unknown>> {
  form: Form<Values>;
  /** Name of the form's field. */
  name: keyof Values & string;
  label?: string;
}

/** A field for a schedule; empty means that nothing runs by itself. */
export function ScheduleField<Values extends Record<string, unknown>>({
  form,
  name,
  label = texts.common.schedule,
}: ScheduleFieldProps<Values>) {
  return (
    <Autocomplete label={label} description={texts.common.scheduleHint} data={EXAMPLES} {...form.getInputProps(name)} />
  );
}
