// How fast a job may be.

import { SimpleGrid, Stack, Switch, Text } from "@mantine/core";
import type { Form } from "../../../parts/dialog";
import { RateField } from "../../../parts/fields/rate-field";
import { texts } from "../../../texts";
import { CountField } from "./count-field";
import type { SyncValues } from "./values";

const words = texts.syncEditor;

/** Most groups at once that the server allows. */
const MOST_WORKERS = 32;

export function LimitFields({ form }: { form: Form<SyncValues> }) {
  const { kind } = form.values;
  return (
    <Stack gap="sm">
      <Text size="sm">{kind === "local" ? words.ratesLocal : words.ratesHint}</Text>
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
        <RateField form={form} name="rate-in" label={words.rateIn} />
        <RateField form={form} name="burst-in" label={words.burstIn} />
        <RateField form={form} name="rate-out" label={words.rateOut} />
        <RateField form={form} name="burst-out" label={words.burstOut} />
        <CountField
          form={form}
          name="worker-threads"
          label={words.workers}
          description={words.workersHint}
          placeholder="1"
          max={MOST_WORKERS}
        />
      </SimpleGrid>
      {kind !== "local" && (
        <Switch
          label={words.trafficControl}
          description={words.trafficControlHint}
          {...form.getInputProps("traffic-control", { type: "checkbox" })}
        />
      )}
    </Stack>
  );
}
