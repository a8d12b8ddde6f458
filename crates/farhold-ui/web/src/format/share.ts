// How far a task is, as one number.

import type { TaskProgress } from "../api/progress";

/** Returns the share that is done of the task's present phase, from 0 to 1; `undefined` while the whole is not known. */
export function shareOf(
  progress: Pick<TaskProgress, "done" | "total" | "snapshots" | "snapshots_done">,
): number | undefined {
  const { done, total, snapshots, snapshots_done: snapshotsDone = 0 } = progress;
  if (total !== null && total > 0) return Math.min(1, done / total);
  // A sync whose snapshots begun so far need nothing.
  if (typeof snapshots === "number" && snapshots > 0) return Math.min(1, snapshotsDone / snapshots);
  return undefined;
}
