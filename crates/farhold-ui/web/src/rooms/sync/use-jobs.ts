// The sync jobs with everything that is known of them, kept up to date while somebody looks.

import { useMemo } from "react";
import { useRead } from "../../api/hooks";
import { CALM_SECONDS, LIVE_SECONDS } from "../../api/server";
import { nowSeconds } from "../../format/time";
import { isRunning, rowsOf } from "./job-row";

/** What is out of date after a job was changed. */
export const JOB_PATHS = [
  "/admin/sync",
  "/config/sync",
  "/config/sync/{id}",
  "/farhold/job-options",
  "/farhold/sync/{id}/plan",
] as const;

/** Reads the jobs of a datastore, or of all. Four requests, whatever their number. */
export function useJobs(store: string | undefined) {
  const query = { "sync-direction": "all" as const, ...(store ? { store } : {}) };
  const jobs = useRead("/admin/sync", { params: { query } }, { every: CALM_SECONDS });
  const isAnyRunning = jobs.data?.some(isRunning) ?? false;
  // While something runs, its end is to be seen soon.
  useRead("/admin/sync", { params: { query } }, { every: LIVE_SECONDS, enabled: isAnyRunning });
  const options = useRead("/farhold/job-options", undefined, { every: CALM_SECONDS });
  const runs = useRead("/farhold/job-runs", undefined, { every: isAnyRunning ? LIVE_SECONDS : CALM_SECONDS });
  const progress = useRead("/farhold/tasks/progress", undefined, { every: LIVE_SECONDS, enabled: isAnyRunning });
  const rows = useMemo(
    () =>
      jobs.data &&
      rowsOf({ jobs: jobs.data, options: options.data, runs: runs.data, progress: progress.data }, nowSeconds()),
    [jobs.data, options.data, runs.data, progress.data],
  );
  return { jobs, rows };
}
