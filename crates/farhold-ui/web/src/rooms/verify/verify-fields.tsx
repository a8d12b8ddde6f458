// Fields for what a verification does, shared by jobs and verifications by hand.

import { Fieldset, NumberInput, SimpleGrid, Stack, Switch } from "@mantine/core";
import type { Form } from "../../parts/dialog";
import { DepthField, NamespaceField } from "../../parts/fields/scope-fields";
import { texts } from "../../texts";

export type VerifyValues = {
  ns: string;
  "max-depth": string;
  "ignore-verified": boolean;
  "outdated-after": number | string;
  "read-threads": number | string;
  "verify-threads": number | string;
};

/** What the API takes and gives. */
export type VerifyOptions = {
  ns?: string;
  "max-depth"?: number;
  "ignore-verified"?: boolean;
  "outdated-after"?: number;
  "read-threads"?: number;
  "verify-threads"?: number;
};

export function verifyValues(stored: VerifyOptions): VerifyValues {
  return {
    ns: stored.ns ?? "",
    "max-depth": stored["max-depth"] === undefined ? "" : String(stored["max-depth"]),
    "ignore-verified": stored["ignore-verified"] ?? true,
    "outdated-after": stored["outdated-after"] ?? "",
    "read-threads": stored["read-threads"] ?? "",
    "verify-threads": stored["verify-threads"] ?? "",
  };
}

const numberOf = (value: number | string): number | undefined => (value === "" ? undefined : Number(value));

/** Returns what the fields say; empty ones are undefined, so that they can be told from those that are not there. */
export function verifyOptionsOf(values: VerifyValues): VerifyOptions {
  return {
    ns: values.ns.trim(),
    "max-depth": numberOf(values["max-depth"]),
    "ignore-verified": values["ignore-verified"],
    "outdated-after": values["ignore-verified"] ? numberOf(values["outdated-after"]) : undefined,
    "read-threads": numberOf(values["read-threads"]),
    "verify-threads": numberOf(values["verify-threads"]),
  };
}

const MAX_THREADS = 32;

interface FieldsProps<Values extends VerifyValues> {
  form: Form<Values>;
  store: string;
  /** Above namespace and depth. */
  before?: React.ReactNode;
  /** Whether the number of threads that is not given is that of the datastore's options. */
  hasOwnThreads: boolean;
}

export function VerifyFields<Values extends VerifyValues>({ form, store, before, hasOwnThreads }: FieldsProps<Values>) {
  return (
    <>
      <Fieldset legend={texts.verify.scope}>
        <Stack gap="xs">
          {before}
          <NamespaceField form={form} name="ns" store={store} />
          <DepthField form={form} name="max-depth" />
        </Stack>
      </Fieldset>
      <Fieldset legend={texts.verify.what}>
        <Stack gap="xs">
          <Switch
            label={texts.verify.skipVerified}
            description={texts.verify.skipVerifiedHint}
            {...form.getInputProps("ignore-verified", { type: "checkbox" })}
          />
          <NumberInput
            label={texts.verify.outdatedAfter}
            description={texts.verify.outdatedHint}
            min={0}
            allowDecimal={false}
            allowNegative={false}
            disabled={!form.values["ignore-verified"]}
            {...form.getInputProps("outdated-after")}
          />
        </Stack>
      </Fieldset>
      <Fieldset legend={texts.verify.effort}>
        <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="xs">
          <NumberInput
            label={texts.verify.readThreads}
            description={hasOwnThreads ? texts.verify.ownThreadsHint : texts.verify.readThreadsHint}
            min={1}
            max={MAX_THREADS}
            allowDecimal={false}
            {...form.getInputProps("read-threads")}
          />
          <NumberInput
            label={texts.verify.verifyThreads}
            description={hasOwnThreads ? texts.verify.ownThreadsHint : texts.verify.verifyThreadsHint}
            min={1}
            max={MAX_THREADS}
            allowDecimal={false}
            {...form.getInputProps("verify-threads")}
          />
        </SimpleGrid>
      </Fieldset>
    </>
  );
}

/** Returns in short which snapshots a job verifies. */
export function verifiesShort(job: VerifyOptions): string {
  if (job["ignore-verified"] === false) return texts.verify.allAgain;
  const days = job["outdated-after"];
  return days === undefined ? texts.verify.newOnly : texts.verify.outdatedShort(days);
}
