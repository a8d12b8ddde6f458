// A sync job with everything that is known of it, joined from four lists: nothing is asked per job.

import type { Item } from "../../api/client";
import type { TaskProgress } from "../../api/progress";
import { secondsOf } from "../../format/time-span";
import { texts } from "../../texts";

export type SyncJob = Item<"/admin/sync">;
export type Options = Item<"/farhold/job-options">;
export type Runs = Item<"/farhold/job-runs">;

/** How a job is drawn and edited: a pull from another datastore of this server is a kind of its own. */
export type Kind = "pull" | "push" | "local";

export type Health = "running" | "good" | "warning" | "failed" | "stale" | "never";

export interface JobRow {
  id: string;
  job: SyncJob;
  kind: Kind;
  /** The other side in words, such as `offsite:vault/site_a`. */
  other: string;
  options?: Options;
  runs?: Runs;
  progress?: TaskProgress;
  health: Health;
}

/** Returns which kind a job is. */
export function kindOf(job: Pick<SyncJob, "remote" | "sync-direction">): Kind {
  if (job["sync-direction"] === "push") return "push";
  return job.remote ? "pull" : "local";
}

/** Returns a place in words: `store`, `store/ns`, `remote:store/ns`. */
export function placeOf(store: string, ns?: string, remote?: string): string {
  return `${remote ? `${remote}:` : ""}${store}${ns ? `/${ns}` : ""}`;
}

/** Returns the other side of a job in words. */
export const otherSideOf = (job: SyncJob): string => placeOf(job["remote-store"], job["remote-ns"], job.remote);

/** Whether a job has a task now: a run that began has no result yet. */
export const isRunning = (job: SyncJob): boolean =>
  job["last-run-upid"] !== undefined && job["last-run-state"] === undefined;

/** Whether the last success is further back than the job's limit; a job without one has no such age. */
export function isStale(options: Options | undefined, runs: Runs | undefined, now: number): boolean {
  const limit = options?.["stale-after"] === undefined ? undefined : secondsOf(options["stale-after"]);
  const success = runs?.["last-success"];
  return limit !== undefined && success !== undefined && limit < now - success;
}

function healthOf(job: SyncJob, options: Options | undefined, runs: Runs | undefined, now: number): Health {
  if (isRunning(job)) return "running";
  const state = job["last-run-state"];
  if (state !== undefined && state !== "OK" && !state.startsWith("WARNINGS")) return "failed";
  if (isStale(options, runs, now)) return "stale";
  if (state === undefined) return "never";
  return state === "OK" ? "good" : "warning";
}

interface Lists {
  jobs: readonly SyncJob[];
  options?: readonly Options[] | undefined;
  runs?: readonly Runs[] | undefined;
  progress?: readonly TaskProgress[] | undefined;
}

/** Joins the lists. `now`: seconds since 1970-01-01 UTC. */
export function rowsOf({ jobs, options = [], runs = [], progress = [] }: Lists, now: number): JobRow[] {
  const optionsById = new Map(options.filter(({ type }) => type === "sync").map((entry) => [entry.id, entry]));
  const runsById = new Map(runs.filter(({ type }) => type === "sync").map((entry) => [entry.id, entry]));
  const progressByTask = new Map(progress.map((entry) => [entry.upid, entry]));
  return jobs.map((job) => {
    const own = optionsById.get(job.id);
    const ran = runsById.get(job.id);
    const underWay = isRunning(job) ? progressByTask.get(job["last-run-upid"] ?? "") : undefined;
    return {
      id: job.id,
      job,
      kind: kindOf(job),
      other: otherSideOf(job),
      health: healthOf(job, own, ran, now),
      ...(own ? { options: own } : {}),
      ...(ran ? { runs: ran } : {}),
      ...(underWay ? { progress: underWay } : {}),
    };
  });
}

/** Returns how many snapshots the target lacks. A run that failed before it found any says nothing about that. */
export function behindOf({ health, runs }: Pick<JobRow, "health" | "runs">): number | undefined {
  return health === "failed" && runs?.behind === 0 ? undefined : runs?.behind;
}

/** Order of states in the list: what needs somebody first. */
export const HEALTH_RANK: Record<Health, number> = { failed: 0, stale: 1, warning: 2, running: 3, never: 4, good: 5 };

export type HealthFilter = keyof typeof texts.sync.health;

/** Whether a row is shown under a choice of states. */
export function isShown(health: Health, filter: HealthFilter): boolean {
  if (filter === "all") return true;
  if (filter === "bad") return health === "failed" || health === "stale";
  if (filter === "running") return health === "running";
  return health === "good" || health === "warning" || health === "never";
}
