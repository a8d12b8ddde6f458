// How a job last ran and when it runs next, as columns of a list and as facts.

import { Anchor, Text } from "@mantine/core";
import { useProgress } from "../../api/progress";
import { dateTime, distance, nowSeconds } from "../../format/time";
import { ProgressLine } from "../../parts/progress-line";
import { State, toneOfResult } from "../../parts/state";
import type { Column } from "../../parts/table";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";

export interface RunState {
  "last-run-upid"?: string;
  /** Absent while it runs. */
  "last-run-state"?: string;
  "last-run-endtime"?: number;
  "next-run"?: number;
  schedule?: string;
  disable?: boolean;
}

/** Whether the run that is known last is still under way. */
export const isRunning = (job: RunState): boolean =>
  job["last-run-upid"] !== undefined && job["last-run-state"] === undefined;

/** The result of the last run, which leads to its log. */
export function LastRun({ job, name }: { job: RunState; name: string }) {
  const { open } = useTaskView();
  const upid = job["last-run-upid"];
  const result = job["last-run-state"];
  if (!upid && result === undefined) {
    return (
      <Text size="sm" c="dimmed">
        {texts.upkeep.notYet}
      </Text>
    );
  }
  const state = (
    <State tone={toneOfResult(result)} {...(result ? { title: result } : {})}>
      {result ?? texts.upkeep.running}
    </State>
  );
  return (
    <div>
      {upid ? (
        <Anchor component="button" type="button" aria-label={texts.upkeep.openLog(name)} onClick={() => open(upid)}>
          {state}
        </Anchor>
      ) : (
        state
      )}
      {result !== undefined ? (
        <Text size="xs" c="dimmed">
          {dateTime(job["last-run-endtime"])}
        </Text>
      ) : (
        upid && <Running upid={upid} name={name} />
      )}
    </div>
  );
}

/** How far a run is, if that is told. */
function Running({ upid, name }: { upid: string; name: string }) {
  const progress = useProgress().get(upid);
  return progress ? <ProgressLine progress={progress} label={texts.upkeep.progressOf(name)} /> : null;
}

/** When it runs next, or why it does not by itself. */
export function NextRun({ job }: { job: RunState }) {
  const next = job["next-run"];
  const now = nowSeconds();
  const word = job.disable
    ? texts.upkeep.disabled
    : !job.schedule
      ? texts.upkeep.byHand
      : next !== undefined && next <= now
        ? texts.upkeep.due
        : undefined;
  if (word !== undefined || next === undefined) {
    return (
      <Text size="sm" c="dimmed">
        {word ?? "–"}
      </Text>
    );
  }
  return (
    <div>
      {dateTime(next)}
      <Text size="xs" c="dimmed">
        {distance(next, now)}
      </Text>
    </div>
  );
}

/** Columns for schedule, last and next run. */
export function runColumns<Row extends RunState>(nameOf: (row: Row) => string): readonly Column<Row>[] {
  return [
    { id: "schedule", title: texts.common.schedule, value: (job) => job.schedule, phone: false },
    {
      id: "last",
      title: texts.common.lastRun,
      value: (job) => (isRunning(job) ? texts.upkeep.running : job["last-run-state"]),
      cell: (job) => <LastRun job={job} name={nameOf(job)} />,
    },
    {
      id: "next",
      title: texts.common.nextRun,
      value: (job) => job["next-run"],
      cell: (job) => <NextRun job={job} />,
      phone: false,
    },
  ];
}
