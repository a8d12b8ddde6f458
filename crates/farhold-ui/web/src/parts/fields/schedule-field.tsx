// A calendar event, such as `daily` or `mon..fri 02:30`, with the next times that it stands for.

import { Autocomplete, Box, Group, Text } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useRead } from "../../api/hooks";
import { dateTime, distance, nowSeconds } from "../../format/time";
import type { Form } from "../dialog";
import { texts } from "../../texts";

const EXAMPLES = ["hourly", "daily", "weekly", "*:0/15", "02:30", "mon..fri 21:00", "sat 02:00", "monthly"];

/** How many of the next times are shown: enough to see a pattern over the week. */
const RUNS = 5;
/** Milliseconds without a key before the server is asked. */
const PAUSE = 300;

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
  const typed = (form.values as Record<string, unknown>)[name];
  return (
    <Box>
      <Autocomplete
        label={label}
        description={texts.common.scheduleHint}
        data={EXAMPLES}
        {...form.getInputProps(name)}
      />
      <NextRuns schedule={typeof typed === "string" ? typed.trim() : ""} />
    </Box>
  );
}

/** The next times of a schedule, or what is wrong with it, in the server's words. */
export function NextRuns({ schedule }: { schedule: string }) {
  const [asked] = useDebouncedValue(schedule, PAUSE);
  const next = useRead(
    "/farhold/schedule",
    { params: { query: { schedule: asked, count: RUNS } } },
    { enabled: asked !== "" },
  );
  if (asked === "" || asked !== schedule) return <Text size="xs" mt={4} role="status" />;
  const now = nowSeconds();
  const runs = next.data?.runs ?? [];
  return (
    <Text size="xs" mt={4} role="status" component="div" {...(next.error ? { c: "var(--mantine-color-error)" } : {})}>
      {next.error && (next.error.fields.schedule ?? next.error.message)}
      {next.data && runs.length === 0 && texts.common.scheduleNever}
      {next.data && runs.length > 0 && (
        <>
          {texts.common.scheduleNext(next.data["time-zone"])}
          <Group component="ul" gap="xs" m={0} p={0} style={{ listStyle: "none" }}>
            {runs.map((run) => (
              <li key={run} title={distance(run, now)}>
                {dateTime(run)}
              </li>
            ))}
          </Group>
        </>
      )}
    </Text>
  );
}
