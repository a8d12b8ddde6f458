// How far a task is, as one number.

import type { TaskProgress } from "../api/progress";

/** Returns the share that is done, from 0 to 1; `undefined` while the whole is not known. */
export function shareOf(
  progress: Pick<TaskProgress, "bytes_done" | "bytes_total" | "snapshots" | "snapshots_done">,
): number | undefined {
  const { bytes_done: bytes, bytes_total: total, snapshots, snapshots_done: done } = progress;
  if (total > 0) return Math.min(1, bytes / total);
  if (typeof snapshots === "number" && snapshots > 0) return Math.min(1, done / snapshots);
  return undefined;
}
