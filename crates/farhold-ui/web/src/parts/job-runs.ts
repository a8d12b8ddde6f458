// What the kept runs of a job say over time. Which values there are depends on the kind of job.

import type { Item } from "../api/client";

export type JobKind = "sync" | "prune" | "verify" | "gc";
export type Run = Item<"/farhold/job-runs/{type}/{id}">;

/** A value that is worth looking at over time. */
export type Measure = "throughput" | "behind" | "freed" | "duration";

const MEASURES: Record<JobKind, readonly Measure[]> = {
  sync: ["throughput", "behind", "duration"],
  prune: ["duration"],
  verify: ["duration"],
  gc: ["freed", "duration"],
};

/** Returns the value of a run; `null` if it has none. */
export function measured(run: Run, measure: Measure): number | null {
  switch (measure) {
    case "throughput":
      return run.rate ?? null;
    case "behind":
      return run.behind ?? null;
    case "freed":
      return run.bytes ?? null;
    case "duration":
      return durationOf(run);
  }
}

/** Returns how long a run took, in seconds. */
export const durationOf = (run: Run): number => Math.max(0, run.endtime - run.starttime);

export interface Course {
  measure: Measure;
  times: number[];
  values: (number | null)[];
}

/** Returns what is drawn for a job of a kind: only values that at least one run has. The runs come oldest first. */
export function coursesOf(kind: JobKind, runs: readonly Run[]): Course[] {
  const times = runs.map((run) => run.endtime);
  return MEASURES[kind]
    .map((measure) => ({ measure, times, values: runs.map((run) => measured(run, measure)) }))
    .filter(({ values }) => values.some((value) => value !== null));
}
