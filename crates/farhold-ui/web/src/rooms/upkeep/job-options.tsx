// The options that jobs of any kind have: being warned when they have had no success, and addresses to call.

import { Fieldset, PasswordInput, Stack, TextInput } from "@mantine/core";
import { call } from "../../api/client";
import { useRead } from "../../api/hooks";
import type { Form } from "../../parts/dialog";
import { texts } from "../../texts";
import type { JobOptionValues } from "./job-option-values";
import type { Changes, JobKind, JobOptions } from "./job-save";

export { jobOptionsOf, jobOptionValues, type JobOptionValues } from "./job-option-values";

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

/** Returns after how long without success somebody is warned; one request serves all jobs. */
export function useStaleAfter(type: JobKind, id: string): string | undefined {
  const { data } = useRead("/farhold/job-options");
  return data?.find((options) => options.type === type && options.id === id)?.["stale-after"];
}
