// How well jobs do: one entry for each job of every kind, from the lists of jobs, of their runs and of their limits.

import type { Item } from "../../api/client";
import { secondsOf } from "../../format/time-span";
import type { JobKind } from "../../parts/job-runs";

export interface JobLists {
  runs: readonly Item<"/farhold/job-runs">[];
  options: readonly Item<"/farhold/job-options">[];
  sync: readonly Item<"/admin/sync">[];
  prune: readonly Item<"/admin/prune">[];
  verify: readonly Item<"/admin/verify">[];
  gc: readonly Item<"/admin/gc">[];
  /** UPIDs of the tasks that run. */
  running: ReadonlySet<string>;
}

/** What is to be thought of a job, the worst first. */
export const VERDICTS = ["stale", "failed", "unproven", "warned", "behind", "unrun", "fine"] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface JobHealth {
  kind: JobKind;
  /** Name of the job; for a garbage collection the datastore. */
  id: string;
  store: string;
  /** Between what and what a sync copies. */
  route?: { direction: "pull" | "push"; remote?: string; remoteStore: string };
  schedule?: string;
  nextRun?: number;
  /** How long it may be without success: as it is written, and in seconds. */
  limit?: { text: string; seconds: number };
  lastState?: string;
  lastEnd?: number;
  lastUpid?: string;
  lastSuccess?: number;
  behind?: number;
  failuresInRow: number;
  /** The task that runs now. */
  runningUpid?: string;
  verdict: Verdict;
}

/** What the lists of all kinds of jobs have in common. */
interface Listed {
  store: string;
  schedule?: string;
  "next-run"?: number;
  "last-run-upid"?: string | null;
  "last-run-endtime"?: number;
  "last-run-state"?: string;
}

export const keyOf = (kind: JobKind, id: string): string => `${kind}/${id}`;

/** Returns all jobs, the worst first. */
export function healthOf(lists: JobLists, now: number): JobHealth[] {
  const listed = new Map<string, Listed>();
  const routes = new Map<string, JobHealth["route"]>();
  for (const job of lists.sync) {
    listed.set(keyOf("sync", job.id), job);
    routes.set(keyOf("sync", job.id), {
      direction: job["sync-direction"] ?? "pull",
      ...(job.remote === undefined ? {} : { remote: job.remote }),
      remoteStore: job["remote-store"],
    });
  }
  for (const job of lists.prune) listed.set(keyOf("prune", job.id), job);
  for (const job of lists.verify) listed.set(keyOf("verify", job.id), job);
  for (const { upid, ...job } of lists.gc) {
    // A datastore may tell of a collection by another server, of which nothing else is known.
    const isKnown = job["last-run-endtime"] !== undefined || (upid !== null && lists.running.has(upid));
    listed.set(keyOf("gc", job.store), { ...job, "last-run-upid": isKnown ? upid : null });
  }
  const limits = new Map(
    lists.options.map((options) => [keyOf(options.type, options.id), options["stale-after"]] as const),
  );
  return lists.runs
    .map((runs) => {
      const key = keyOf(runs.type, runs.id);
      return jobOf(runs, listed.get(key), routes.get(key), limits.get(key), now);
    })
    .sort((a, b) => VERDICTS.indexOf(a.verdict) - VERDICTS.indexOf(b.verdict) || collator.compare(a.id, b.id));
}

const collator = new Intl.Collator("en", { numeric: true });

function jobOf(
  runs: Item<"/farhold/job-runs">,
  listed: Listed | undefined,
  route: JobHealth["route"],
  limitText: string | undefined,
  now: number,
): JobHealth {
  const isRunning = Boolean(listed?.["last-run-upid"]) && listed?.["last-run-endtime"] === undefined;
  const seconds = limitText === undefined ? undefined : secondsOf(limitText);
  const job: Omit<JobHealth, "verdict"> = {
    kind: runs.type,
    id: runs.id,
    store: runs.store,
    failuresInRow: runs["failures-in-row"] ?? 0,
    ...present({
      route,
      schedule: listed?.schedule,
      nextRun: listed?.["next-run"],
      limit: limitText !== undefined && seconds !== undefined ? { text: limitText, seconds } : undefined,
      lastState: runs["last-run-state"] ?? listed?.["last-run-state"],
      lastEnd: runs["last-run-endtime"] ?? listed?.["last-run-endtime"],
      lastUpid: runs["last-run-upid"] ?? (isRunning ? undefined : (listed?.["last-run-upid"] ?? undefined)),
      lastSuccess: runs["last-success"],
      behind: runs.behind,
      runningUpid: isRunning ? (listed?.["last-run-upid"] ?? undefined) : undefined,
    }),
  };
  return { ...job, verdict: verdictOf(job, now) };
}

/** Returns what is to be thought of a job. A run that is under way changes nothing: only its end will tell. */
export function verdictOf(job: Omit<JobHealth, "verdict">, now: number): Verdict {
  const { lastSuccess, lastState, limit } = job;
  if (limit && lastSuccess !== undefined && now - lastSuccess > limit.seconds) return "stale";
  if (lastState !== undefined && lastState !== "OK" && !lastState.startsWith("WARNINGS")) return "failed";
  if (limit && lastSuccess === undefined) return "unproven";
  if (lastState?.startsWith("WARNINGS")) return "warned";
  if (job.behind) return "behind";
  return lastState === undefined && lastSuccess === undefined ? "unrun" : "fine";
}

/** Returns how many jobs there are of each verdict that occurs, the worst first. */
export function tally(jobs: readonly JobHealth[]): { verdict: Verdict; count: number }[] {
  return VERDICTS.map((verdict) => ({ verdict, count: jobs.filter((job) => job.verdict === verdict).length })).filter(
    ({ count }) => count > 0,
  );
}

/** Returns whether somebody should look at a job. */
export const needsCare = (job: JobHealth): boolean => job.verdict !== "fine" && job.verdict !== "unrun";

type Present<Values> = { [Name in keyof Values]?: Exclude<Values[Name], undefined> };

const present = <Values extends object>(values: Values): Present<Values> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Present<Values>;
