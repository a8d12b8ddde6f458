// The options that jobs of any kind have: being warned when they have had no success, and addresses to call.

import { Fieldset, PasswordInput, Stack, TextInput } from "@mantine/core";
import { call } from "../../api/client";
import type { Form } from "../../parts/dialog";
import { texts } from "../../texts";
import type { Changes, JobKind, JobOptions } from "./job-save";

const NAMES = ["stale-after", "ping-success", "ping-failure"] as const;

export type JobOptionValues = Record<(typeof NAMES)[number], string>;

export function jobOptionValues(stored: JobOptions = {}): JobOptionValues {
  return {
    "stale-after": stored["stale-after"] ?? "",
    "ping-success": stored["ping-success"] ?? "",
    "ping-failure": stored["ping-failure"] ?? "",
  };
}

export function jobOptionsOf(values: JobOptionValues): JobOptions {
  return Object.fromEntries(NAMES.map((name) => [name, values[name].trim()]));
}

export function JobOptionFields<Values extends JobOptionValues>({ form }: { form: Form<Values> }) {
  return (
    <Fieldset legend={texts.upkeep.options}>
      <Stack gap="xs">
        <TextInput
          label={texts.upkeep.staleAfter}
          description={texts.upkeep.staleAfterHint}
          autoComplete="off"
          {...form.getInputProps("stale-after")}
        />
        <Secret form={form} name="ping-success" label={texts.upkeep.pingSuccess} />
        <Secret form={form} name="ping-failure" label={texts.upkeep.pingFailure} />
      </Stack>
    </Fieldset>
  );
}

function Secret<Values extends JobOptionValues>({
  form,
  name,
  label,
}: {
  form: Form<Values>;
  name: keyof JobOptionValues;
  label: string;
}) {
  return (
    <PasswordInput
      label={label}
      description={texts.upkeep.pingHint}
      autoComplete="new-password"
      visibilityToggleButtonProps={{ "aria-label": texts.upkeep.showField(label) }}
      {...form.getInputProps(name)}
    />
  );
}

/** Writes options of a job. */
export function putJobOptions(type: JobKind, id: string, changes: Changes<JobOptions>): Promise<unknown> {
  return call("put", "/farhold/job-options/{type}/{id}", { params: { path: { type, id } }, body: changes });
}
