// How far running tasks are. One request tells it of all, and everybody who shows a bar shares its answer.

import type { Item } from "./client";
import { useRead } from "./hooks";
import { LIVE_SECONDS } from "./server";

export type TaskProgress = Item<"/farhold/tasks/progress">;

/** Returns the progress of running tasks that tell one, by UPID. */
export function useProgress(enabled = true): ReadonlyMap<string, TaskProgress> {
  const { data } = useRead("/farhold/tasks/progress", undefined, { every: LIVE_SECONDS, enabled });
  return new Map((data ?? []).map((entry) => [entry.upid, entry]));
}
