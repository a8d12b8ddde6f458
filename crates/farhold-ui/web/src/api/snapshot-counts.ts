// How many snapshots of a datastore are verified. The server counts them in the background and tells it in its metrics.

import { snapshotCountsOf } from "../format/snapshot-counts";
import { useAnswer } from "./hooks";
import { CALM_SECONDS } from "./server";

export function useSnapshotCounts(store: string) {
  const metrics = useAnswer("/farhold/metrics", { parseAs: "text" }, { every: CALM_SECONDS });
  const text: unknown = metrics.data;
  return { ...metrics, counts: typeof text === "string" ? snapshotCountsOf(text, store) : undefined };
}
