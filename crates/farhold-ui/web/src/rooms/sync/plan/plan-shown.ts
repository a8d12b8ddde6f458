// Which lines of a plan are in sight: by what was opened, and by what is asked for.

import { texts } from "../../../texts";
import type { Act, Node } from "./plan-tree";

export type PlanFilter = keyof typeof texts.syncPlan.filter;

const SHOWN: Record<PlanFilter, ReadonlySet<Act> | undefined> = {
  all: undefined,
  changes: new Set<Act>(["transfer", "refetch", "remove", "fail", "note"]),
  skipped: new Set<Act>(["skip"]),
  removals: new Set<Act>(["remove", "keep"]),
  failures: new Set<Act>(["fail", "note"]),
};

/** With so few snapshots all groups are open at first. */
const OPEN_SNAPSHOTS = 60;

/** Returns the keys of what is open at first: all namespaces, and the groups of a short plan. */
export function openAtFirst(tree: readonly Node[]): Set<string> {
  const groups = tree.flatMap(({ children }) => children);
  const isShort = groups.reduce((sum, { children }) => sum + children.length, 0) <= OPEN_SNAPSHOTS;
  return keysOf(isShort ? [...tree, ...groups] : tree);
}

/** Returns the keys of all that can be opened. */
export const everyKey = (tree: readonly Node[]): Set<string> =>
  keysOf(tree.flatMap((node) => [node, ...node.children]));

const keysOf = (nodes: readonly Node[]): Set<string> =>
  new Set(nodes.filter(({ children }) => 0 < children.length).map(({ key }) => key));

/**
 * Returns the lines in sight, in order. A namespace or group stays if it, or something in it, is asked for. `text`
 * is looked for in all names; what is below a name that has it is shown too.
 */
export function shownOf(tree: readonly Node[], open: ReadonlySet<string>, filter: PlanFilter, text: string): Node[] {
  const acts = SHOWN[filter];
  const wanted = text.trim().toLowerCase();
  const lines: Node[] = [];
  // Returns whether the node is shown.
  const visit = (node: Node, isFound: boolean): boolean => {
    const at = lines.length;
    lines.push(node);
    const found = isFound || node.label.toLowerCase().includes(wanted);
    let isAnyShown = false;
    for (const child of node.children) {
      const before = lines.length;
      if (visit(child, found)) isAnyShown = true;
      else lines.length = before;
    }
    const isOwnShown = found && (acts === undefined || acts.has(node.act));
    if (!isOwnShown && !isAnyShown) {
      lines.length = at;
      return false;
    }
    if (!open.has(node.key)) lines.length = at + 1;
    return true;
  };
  for (const node of tree) visit(node, wanted === "");
  return lines;
}
