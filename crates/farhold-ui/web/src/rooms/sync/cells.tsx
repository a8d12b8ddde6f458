// What stands in the list of sync jobs.

import { Box, Stack, Text } from "@mantine/core";
import { dateTime, distance } from "../../format/time";
import { ProgressLine } from "../../parts/progress-line";
import { State } from "../../parts/state";
import { texts } from "../../texts";
import type { JobRow } from "./job-row";

const words = texts.sync;

/** How the last run ended, or how far the present one is. */
export function RunState({ row }: { row: JobRow }) {
  const { job, health, progress } = row;
  const state = job["last-run-state"];
  switch (health) {
    case "running":
      return progress ? (
        <Box miw="8rem">
          <ProgressLine progress={progress} label={words.progressOf(row.id)} />
        </Box>
      ) : (
        <State tone="running">{words.running}</State>
      );
    case "never":
      return <Text size="sm">{words.neverRan}</Text>;
    case "failed":
      return (
        <Stack gap={2} align="flex-start">
          <State tone="bad">{words.failed}</State>
          <Text size="xs" lineClamp={2} title={state ?? ""}>
            {state}
          </Text>
        </Stack>
      );
    case "stale":
      return (
        <Stack gap={2} align="flex-start">
          <State tone="bad">{words.stale}</State>
          <Text size="xs">{words.staleWhy(row.options?.["stale-after"] ?? "")}</Text>
        </Stack>
      );
    case "warning":
      return <State tone="warning">{words.warnings(state?.split(": ")[1] ?? "")}</State>;
    case "good":
      return <State tone="good">{words.ok}</State>;
  }
}

/** A point in time with how far away it is. */
export function When({ at, now }: { at: number | null | undefined; now: number }) {
  if (at === null || at === undefined) return <span>–</span>;
  return <span title={dateTime(at)}>{distance(at, now)}</span>;
}
