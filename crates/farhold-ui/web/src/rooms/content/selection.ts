// Which snapshots are marked, to do something with all of them.

import type { ShownGroup } from "./arrange";
import type { Group, Snapshot } from "./model";

/** Names of the marked snapshots. */
export type Marked = ReadonlySet<string>;

/** Marks all of them; takes the marks away if all were marked. */
export function toggled(marked: Marked, snapshots: readonly Snapshot[]): Marked {
  const next = new Set(marked);
  const isRemoved = snapshots.every((snapshot) => marked.has(snapshot.name));
  for (const { name } of snapshots) {
    if (isRemoved) next.delete(name);
    else next.add(name);
  }
  return next;
}

/** Whether all, some or none of them are marked. */
export function extent(marked: Marked, snapshots: readonly Snapshot[]): "all" | "some" | "none" {
  if (marked.size === 0) return "none";
  const count = snapshots.filter((snapshot) => marked.has(snapshot.name)).length;
  if (count === 0) return "none";
  return count === snapshots.length ? "all" : "some";
}

export interface Chosen {
  snapshots: readonly Snapshot[];
  /** Groups that are marked with all snapshots that they have, also those that are not in sight. */
  whole: readonly Group[];
  /** Marked snapshots of all other groups. */
  single: readonly Snapshot[];
}

/** Returns what is marked and in sight: what a filter hides is not acted on. */
export function chosen(marked: Marked, shown: readonly ShownGroup[]): Chosen {
  const whole: Group[] = [];
  const single: Snapshot[] = [];
  const snapshots: Snapshot[] = [];
  if (marked.size === 0) return { snapshots, whole, single };
  for (const one of shown) {
    const own = one.snapshots.filter((snapshot) => marked.has(snapshot.name));
    snapshots.push(...own);
    if (own.length > 0 && own.length === one.group.snapshots.length) whole.push(one.group);
    else single.push(...own);
  }
  return { snapshots, whole, single };
}
