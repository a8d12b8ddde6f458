// The columns of tables of jobs.

import { Text } from "@mantine/core";
import type { Column } from "../../parts/table";
import { When } from "../../parts/when";
import { texts } from "../../texts";
import type { JobHealth } from "./health";
import { JobState } from "./verdict";

const words = texts.dashboard.health;

/** Returns what a sync copies from where to where. */
export function routeOf({ route, store }: JobHealth): string | undefined {
  if (!route) return undefined;
  const other = route.remote === undefined ? route.remoteStore : `${route.remote}:${route.remoteStore}`;
  return route.direction === "push"
    ? words.route(route.direction, store, other)
    : words.route(route.direction, other, store);
}

const state: Column<JobHealth> = {
  id: "state",
  title: words.health,
  value: (job) => [words.verdicts[job.verdict], job.runningUpid ? words.running : ""].join(" "),
  cell: (job) => <JobState job={job} />,
};

const name: Column<JobHealth> = {
  id: "job",
  title: words.job,
  width: "34%",
  value: (job) => [job.id, routeOf(job) ?? job.store].join(" "),
  cell: (job) => (
    <>
      {job.id}
      <Text size="xs" c="dimmed">
        {routeOf(job) ?? job.store}
      </Text>
    </>
  ),
};

const kind: Column<JobHealth> = {
  id: "kind",
  title: texts.dashboard.others.kind,
  value: (job) => texts.dashboard.others.kinds[job.kind],
};

const success: Column<JobHealth> = {
  id: "success",
  title: words.lastSuccess,
  value: (job) => job.lastSuccess,
  cell: (job) => (
    <>
      <When at={job.lastSuccess} otherwise={texts.common.never} />
      {job.limit && (
        <Text size="xs" c="dimmed">
          {words.limit(job.limit.text)}
        </Text>
      )}
    </>
  ),
};

const next: Column<JobHealth> = {
  id: "next",
  title: words.nextRun,
  value: (job) => job.nextRun,
  cell: (job) => <When at={job.nextRun} otherwise={job.schedule === undefined ? words.byHand : "–"} />,
  phone: false,
};

const behind: Column<JobHealth> = {
  id: "behind",
  title: words.behind,
  value: (job) => job.behind,
  cell: (job) => job.behind ?? "–",
  align: "right",
  phone: false,
};

const last: Column<JobHealth> = {
  id: "last",
  title: words.lastRun,
  value: (job) => job.lastState,
  cell: (job) =>
    job.lastState === undefined ? (
      "–"
    ) : (
      <>
        <When at={job.lastEnd} />
        <Text size="xs" c="dimmed" lineClamp={2} title={job.lastState}>
          {job.lastState}
        </Text>
      </>
    ),
  phone: false,
};

export const SYNC_COLUMNS = [state, name, success, next, behind, last];
export const OTHER_COLUMNS = [state, kind, name, success, next, last];
