// How many snapshots of a datastore are verified. The server tells it in its metrics.

import { samplesOf } from "./exposition";

export interface SnapshotCounts {
  /** When they were counted, in seconds since 1970-01-01 UTC. */
  counted?: number;
  namespaces?: number;
  /** Number of snapshots by what is known of them: verified, failed, unverified, unfinished, unreadable. */
  states: readonly { state: string; count: number }[];
}

/** Returns the counts of one datastore from the server's metrics; `undefined` if it has not counted yet. */
export function snapshotCountsOf(text: string, store: string): SnapshotCounts | undefined {
  const samples = samplesOf(text, "farhold_datastore_").filter(({ labels }) => labels["datastore"] === store);
  const valueOf = (name: string) => samples.find((sample) => sample.name === `farhold_datastore_${name}`)?.value;
  const states = samples
    .filter(({ name }) => name === "farhold_datastore_snapshots")
    .map(({ labels, value }) => ({ state: labels["state"] ?? "", count: value }));
  if (states.length === 0) return undefined;
  const [counted, namespaces] = [valueOf("counted_timestamp_seconds"), valueOf("namespaces")];
  return {
    states,
    ...(counted === undefined ? {} : { counted }),
    ...(namespaces === undefined ? {} : { namespaces }),
  };
}
