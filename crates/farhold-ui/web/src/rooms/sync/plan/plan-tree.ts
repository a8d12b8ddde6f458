// A plan as a tree of namespaces, groups and snapshots, with what is to be counted of it.

import type { Data } from "../../../api/client";
import { snapshotTime } from "../../../format/time";
import { texts } from "../../../texts";

const words = texts.syncPlan;

export type Plan = Data<"get", "/farhold/sync/{id}/plan">;
type PlanNamespace = Plan["namespaces"][number];
type PlanGroup = PlanNamespace["groups"][number];
type RemovedGroup = PlanNamespace["removed-groups"][number];
type Removal = PlanGroup["removals"][number];
export type Reason = PlanGroup["snapshots"][number]["reason"];

/** What becomes of something. */
export type Act = keyof typeof words.action;

export interface Counts {
  fetch: number;
  compare: number;
  skip: number;
  remove: number;
  keep: number;
  fail: number;
  bytes: number;
}

export interface Node {
  key: string;
  level: 1 | 2 | 3;
  label: string;
  act: Act;
  why: string;
  size?: number;
  counts: Counts;
  children: Node[];
}

const NONE: Counts = { fetch: 0, compare: 0, skip: 0, remove: 0, keep: 0, fail: 0, bytes: 0 };

/** Adds up what is below a node. */
export function total(nodes: readonly Node[], own: Partial<Counts> = {}): Counts {
  const sum = { ...NONE, ...own };
  for (const { counts } of nodes) {
    for (const name of Object.keys(sum) as (keyof Counts)[]) sum[name] += counts[name];
  }
  return sum;
}

const nameOf = (ns: string): string => ns || texts.common.rootNamespace;

/** Returns the tree, in the order of the plan: namespaces, then those that vanished. */
export function treeOf(plan: Plan): Node[] {
  const notes = [
    ...(plan["is-compatibility-mode"] ? [note("", 1, "compatibility", words.compatibility, "fail")] : []),
    ...(plan["removal-failure"] ? [failure("", 1, "removal", words.removalFails(plan["removal-failure"]))] : []),
    ...plan.unreadable.map((text, index) => note("", 1, `unreadable ${index}`, words.unreadable(text))),
  ];
  return [
    ...notes,
    ...plan.namespaces.map(namespaceNode),
    ...plan["removed-namespaces"].map((removed) => {
      const key = `removed ${removed.namespace}`;
      const children = (removed.groups ?? []).map((group) => removedGroupNode(key, group));
      const isKept = removed.kept !== undefined;
      return {
        key,
        level: 1 as const,
        label: words.vanishedNamespace(nameOf(removed.namespace)),
        act: isKept ? ("keep" as const) : ("remove" as const),
        why: removed.kept === undefined ? words.vanished : words.keptBecause(removed.kept),
        counts: total(children),
        children,
      };
    }),
  ];
}

function namespaceNode(namespace: PlanNamespace): Node {
  const key = `namespace ${namespace.source}`;
  const children = [
    ...(namespace.failure ? [failure(key, 2, "failure", namespace.failure)] : []),
    ...(namespace["removal-failure"]
      ? [failure(key, 2, "removal", words.removalFails(namespace["removal-failure"]))]
      : []),
    ...(namespace.unreadable ?? []).map((text, index) => note(key, 2, `unreadable ${index}`, words.unreadable(text))),
    ...namespace.groups.map((group) => groupNode(key, group)),
    ...namespace["removed-groups"].map((group) => removedGroupNode(key, group)),
  ];
  const scope = words.groupsOf(namespace.groups.length, namespace["groups-total"]);
  return {
    key,
    level: 1,
    label: words.namespace(nameOf(namespace.source), nameOf(namespace.target)),
    act: namespace.failure ? "fail" : "take",
    why: namespace["is-missing-on-target"] ? `${scope}, ${words.isCreated}` : scope,
    counts: total(children),
    children,
  };
}

function groupNode(parent: string, group: PlanGroup): Node {
  const key = `${parent} ${group.group}`;
  const children: Node[] = [
    ...(group.failure ? [failure(key, 3, "failure", group.failure)] : []),
    ...(group.unreadable ?? []).map((text, index) => note(key, 3, `unreadable ${index}`, words.unreadable(text))),
    ...group.snapshots.map((snapshot): Node => {
      const size = snapshot["size-bytes"];
      const isFetched = snapshot.action === "transfer" || snapshot.action === "refetch";
      return {
        key: `${key} ${snapshot.time}`,
        level: 3,
        label: snapshotTime(snapshot.time),
        act: snapshot.action,
        why: words.reason[snapshot.reason] ?? snapshot.reason,
        ...(size === undefined ? {} : { size }),
        counts: {
          ...NONE,
          ...(isFetched
            ? { fetch: 1, bytes: size ?? 0 }
            : snapshot.action === "compare"
              ? { compare: 1 }
              : { skip: 1 }),
        },
        children: [],
      };
    }),
    ...group.removals.map((removal) => removalNode(key, removal)),
  ];
  return {
    key,
    level: 2,
    label: group.group,
    act: group.failure ? "fail" : "take",
    why: "",
    counts: total(children),
    children,
  };
}

function removedGroupNode(parent: string, group: RemovedGroup): Node {
  const key = `${parent} removed ${group.group}`;
  const children = group.snapshots.map((removal) => removalNode(key, removal));
  const isKept = group.kept !== undefined;
  return {
    key,
    level: 2,
    label: group.group,
    act: isKept ? "keep" : "remove",
    why: group.kept === undefined ? words.vanished : words.keptBecause(group.kept),
    counts: total(children),
    children,
  };
}

function removalNode(parent: string, { time, "is-protected": isProtected }: Removal): Node {
  return {
    key: `${parent} removal ${time}`,
    level: 3,
    label: snapshotTime(time),
    act: isProtected ? "keep" : "remove",
    why: isProtected ? words.vanishedProtected : words.vanished,
    counts: { ...NONE, ...(isProtected ? { keep: 1 } : { remove: 1 }) },
    children: [],
  };
}

function note(parent: string, level: Node["level"], name: string, label: string, act: Act = "note"): Node {
  return {
    key: `${parent} ${name}`,
    level,
    label,
    act,
    why: "",
    counts: { ...NONE, fail: act === "fail" ? 1 : 0 },
    children: [],
  };
}

const failure = (parent: string, level: Node["level"], name: string, text: string): Node =>
  note(parent, level, name, text, "fail");
