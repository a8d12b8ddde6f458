// A plan in a few figures.

import { texts } from "../../../texts";
import { total, type Counts, type Node, type Plan, type Reason } from "./plan-tree";

export interface Totals extends Counts {
  created: number;
  removedGroups: number;
  removedNamespaces: number;
  /** How many are left alone for which reason, most first. */
  skipped: [Reason, number][];
}

export function totalsOf(plan: Plan, tree: readonly Node[]): Totals {
  const skipped = new Map<Reason, number>();
  for (const { groups } of plan.namespaces) {
    for (const { snapshots } of groups) {
      for (const { action, reason } of snapshots) {
        if (action === "skip") skipped.set(reason, (skipped.get(reason) ?? 0) + 1);
      }
    }
  }
  const removed = [...plan.namespaces.flatMap((one) => one["removed-groups"])].concat(
    plan["removed-namespaces"].flatMap(({ groups }) => groups ?? []),
  );
  return {
    ...total(tree),
    fetch: plan["snapshots-to-fetch"],
    bytes: plan["bytes-estimate"],
    created: plan.namespaces.filter((one) => one["is-missing-on-target"]).length,
    // A group with something protected stays with that.
    removedGroups: removed.filter(
      ({ kept, snapshots }) => kept === undefined && !snapshots.some((one) => one["is-protected"]),
    ).length,
    removedNamespaces: plan["removed-namespaces"].filter(({ kept }) => kept === undefined).length,
    skipped: [...skipped].sort(([, a], [, b]) => b - a),
  };
}

/** Whether a run would change nothing at all on the target. */
export const isIdle = (totals: Totals): boolean =>
  totals.fetch + totals.compare + totals.remove + totals.removedGroups + totals.removedNamespaces + totals.created ===
    0 && totals.fail === 0;

/** Returns what would be removed, in words; nothing if nothing. */
export function removedWords(totals: Totals): string | undefined {
  const { snapshots, groups, namespaces } = texts.syncPlan.removedParts;
  const parts = [
    totals.remove ? snapshots(totals.remove) : undefined,
    totals.removedGroups ? groups(totals.removedGroups) : undefined,
    totals.removedNamespaces ? namespaces(totals.removedNamespaces) : undefined,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : parts.join(", ");
}
