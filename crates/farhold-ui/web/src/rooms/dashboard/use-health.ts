// The health of all jobs, from one list of each kind. The bar of tasks has them read again when a task ends.

import { useMemo } from "react";
import { useRead } from "../../api/hooks";
import { CALM_SECONDS, useRunningTasks } from "../../api/server";
import { useNow } from "../../parts/when";
import { healthOf, type JobHealth } from "./health";

const CALM = { every: CALM_SECONDS };
const EVERY_DIRECTION = { params: { query: { "sync-direction": "all" as const } } };

export interface Health {
  jobs: readonly JobHealth[];
  /** Whether the jobs have been read. */
  isKnown: boolean;
  /** Why something could not be read. */
  errors: readonly Error[];
  retry: () => void;
}

export function useHealth(): Health {
  const now = useNow();
  const runs = useRead("/farhold/job-runs", undefined, CALM);
  const options = useRead("/farhold/job-options", undefined, CALM);
  const sync = useRead("/admin/sync", EVERY_DIRECTION, CALM);
  const prune = useRead("/admin/prune", undefined, CALM);
  const verify = useRead("/admin/verify", undefined, CALM);
  const gc = useRead("/admin/gc", undefined, CALM);
  const running = useRunningTasks().data?.data;
  const jobs = useMemo(() => {
    const lists = {
      runs: runs.data ?? [],
      options: options.data ?? [],
      sync: sync.data ?? [],
      prune: prune.data ?? [],
      verify: verify.data ?? [],
      gc: gc.data ?? [],
      running: new Set(running?.map((task) => task.upid)),
    };
    return healthOf(lists, now);
  }, [runs.data, options.data, sync.data, prune.data, verify.data, gc.data, running, now]);
  const all = [runs, options, sync, prune, verify, gc];
  return {
    jobs,
    isKnown: runs.data !== undefined,
    errors: all.flatMap((query) => (query.error ? [query.error] : [])),
    retry: () => all.forEach((query) => void (query.error && query.refetch())),
  };
}
