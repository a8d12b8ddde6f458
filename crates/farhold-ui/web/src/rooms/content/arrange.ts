// Which groups and snapshots are shown, in which order, and as which rows.

import type { Sorting } from "../../parts/table-order";
import { verificationOf, type Crypt, type Group, type Snapshot, type Verification } from "./model";

export interface Filters {
  /** Words that all have to occur; in a group they stand for all its snapshots. */
  text: string;
  /** Empty: any. */
  verification: Verification | "";
  protection: "yes" | "no" | "";
  crypt: Crypt | "";
}

export const NO_FILTERS: Filters = { text: "", verification: "", protection: "", crypt: "" };

/** A group with those of its snapshots that are shown. */
export interface ShownGroup {
  group: Group;
  snapshots: readonly Snapshot[];
}

export type Row = ({ kind: "group" } & ShownGroup) | { kind: "snapshot"; snapshot: Snapshot };

export type SortColumn = "name" | "time" | "size" | "verification";

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const RANK: Record<Verification, number> = { failed: 0, none: 1, ok: 2 };

const nameOf = (row: Row): string => (row.kind === "group" ? row.group.name : row.snapshot.name);
export const rowKey = nameOf;

/** Returns the groups that are shown, sorted, with their snapshots. */
export function arranged(groups: readonly Group[], filters: Filters, sorting: Sorting): readonly ShownGroup[] {
  const words = filters.text.toLowerCase().split(/\s+/).filter(Boolean);
  const isLimited = filters.verification !== "" || filters.protection !== "" || filters.crypt !== "";
  const fits = (snapshot: Snapshot): boolean =>
    (filters.verification === "" || snapshot.verification === filters.verification) &&
    (filters.protection === "" || snapshot.isProtected === (filters.protection === "yes")) &&
    (filters.crypt === "" || snapshot.crypt === filters.crypt);
  const shown: ShownGroup[] = [];
  for (const group of groups) {
    const groupText = `${group.name} ${group.owner} ${group.comment}`.toLowerCase();
    const missing = words.filter((word) => !groupText.includes(word));
    const snapshots =
      missing.length === 0 && !isLimited
        ? group.snapshots
        : group.snapshots.filter((snapshot) => fits(snapshot) && hasAll(snapshot, missing));
    if (snapshots.length > 0 || (missing.length === 0 && !isLimited)) shown.push({ group, snapshots });
  }
  return sorted(shown, sorting);
}

function hasAll(snapshot: Snapshot, words: readonly string[]): boolean {
  if (words.length === 0) return true;
  const text = `${snapshot.name} ${snapshot.comment}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function sorted(shown: readonly ShownGroup[], { column, direction }: Sorting): readonly ShownGroup[] {
  const sign = direction === "up" ? 1 : -1;
  const byName = (a: ShownGroup, b: ShownGroup) => collator.compare(a.group.name, b.group.name);
  const groupOrders: Record<string, (a: ShownGroup, b: ShownGroup) => number> = {
    name: byName,
    time: (a, b) => a.group.last - b.group.last,
    size: (a, b) => newestSize(a.snapshots) - newestSize(b.snapshots),
    verification: (a, b) => RANK[verificationOf(a.snapshots)] - RANK[verificationOf(b.snapshots)],
  };
  const snapshotOrders: Record<string, (a: Snapshot, b: Snapshot) => number> = {
    time: (a, b) => a.time - b.time,
    size: (a, b) => (a.size ?? -1) - (b.size ?? -1),
    verification: (a, b) => RANK[a.verification] - RANK[b.verification],
  };
  const order = groupOrders[column] ?? byName;
  const snapshotOrder = snapshotOrders[column];
  return shown
    .map((one) =>
      // Snapshots come newest first; those that are alike otherwise stay so.
      snapshotOrder ? { ...one, snapshots: [...one.snapshots].sort((a, b) => sign * snapshotOrder(a, b)) } : one,
    )
    .sort((a, b) => sign * order(a, b) || byName(a, b));
}

/** Returns the size of the newest finished snapshot, -1 if there is none. */
export function newestSize(snapshots: readonly Snapshot[]): number {
  let newest: Snapshot | undefined;
  for (const snapshot of snapshots) {
    if (snapshot.size !== undefined && (!newest || snapshot.time > newest.time)) newest = snapshot;
  }
  return newest?.size ?? -1;
}

/** Returns the rows: each group, and below it its snapshots if it is open. */
export function rowsOf(shown: readonly ShownGroup[], isOpen: (group: string) => boolean): readonly Row[] {
  return shown.flatMap((one): Row[] => {
    const row: Row = { kind: "group", ...one };
    if (!isOpen(one.group.name)) return [row];
    return [row, ...one.snapshots.map((snapshot): Row => ({ kind: "snapshot", snapshot }))];
  });
}
