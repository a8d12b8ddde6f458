// What stands in the list of sync jobs.

import { Progress as Bar, Stack, Text } from "@mantine/core";
import { bytes, percent, rate } from "../../format/bytes";
import { dateTime, distance, span } from "../../format/time";
import { State } from "../../parts/state";
import { texts } from "../../texts";
import { shareOf, type JobRow, type Progress } from "./job-row";

const words = texts.sync;

/** How the last run ended, or how far the present one is. */
export function RunState({ row }: { row: JobRow }) {
  const { job, health, progress } = row;
  const state = job["last-run-state"];
  switch (health) {
    case "running":
      return progress ? <RunProgress id={row.id} progress={progress} /> : <State tone="running">{words.running}</State>;
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

/** A bar with the rate and the time that is left. */
export function RunProgress({ id, progress }: { id: string; progress: Progress }) {
  const share = shareOf(progress);
  const { eta, rate: speed } = progress as { eta?: number | null; rate?: number | null };
  const facts = [
    share === undefined ? words.counting : percent(share),
    speed ? rate(speed) : undefined,
    eta === null || eta === undefined ? undefined : words.timeLeft(span(eta)),
  ];
  return (
    <Stack gap={2} miw="8rem">
      <Bar
        value={(share ?? 1) * 100}
        animated={share === undefined}
        size="md"
        aria-label={words.progressOf(id)}
        title={`${bytes(progress.bytes_done)} / ${bytes(progress.bytes_done + progress.bytes_left)}`}
      />
      <Text size="xs">{facts.filter((fact) => fact !== undefined).join(" · ")}</Text>
    </Stack>
  );
}

/** A point in time with how far away it is. */
export function When({ at, now }: { at: number | null | undefined; now: number }) {
  if (at === null || at === undefined) return <span>–</span>;
  return <span title={dateTime(at)}>{distance(at, now)}</span>;
}
