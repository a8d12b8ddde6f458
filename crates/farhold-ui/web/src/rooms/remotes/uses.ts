// Which sync jobs use something. One request answers for all.

import type { Item } from "../../api/client";
import { useRead, type ReadOptions } from "../../api/hooks";

export type SyncJob = Item<"/config/sync">;

/** The sync jobs of both directions that the user may see. */
export const useSyncJobs = (options: ReadOptions = {}) =>
  useRead("/config/sync", { params: { query: { "sync-direction": "all" } } }, options);

/** Returns the names of the jobs for which the test holds, sorted. */
export function jobsWith(jobs: readonly SyncJob[] | undefined, test: (job: SyncJob) => boolean): string[] {
  return (jobs ?? [])
    .filter(test)
    .map((job) => job.id)
    .sort();
}
