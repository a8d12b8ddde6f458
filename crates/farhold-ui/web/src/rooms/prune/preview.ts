// What a dry run of a prune said, from the lines of its log. Source: docs/spec/schedules-and-tasks.md, "Prune".

import type { Keep } from "../../parts/fields/keep";
import { reasons, type Reason } from "../content/prune-reasons";

export type Mark = "keep" | "partial" | "protected" | "remove";

export interface Preview {
  ns: string;
  /** Type and id. */
  group: string;
  /** As paths have it. */
  time: string;
  mark: Mark;
  /** Which rule keeps it, or why none does. */
  reason?: Reason;
}

const GROUP = /^Pruning group (.*):"[^"]*"$/;
const SNAPSHOT = /^would (keep partial|keep protected|keep|remove) ([^/]+\/[^/]+)\/([^/]+)$/;
const TIME = /^\d{4}-\d\d-\d\dT\S+?: /;

const MARKS: Readonly<Record<string, Mark>> = {
  "keep partial": "partial",
  "keep protected": "protected",
  keep: "keep",
  remove: "remove",
};

/** Returns the snapshots that the log names, in its order. */
export function previewOf(lines: readonly string[]): Preview[] {
  const found: Preview[] = [];
  let ns = "";
  for (const line of lines) {
    const text = line.replace(TIME, "");
    const group = GROUP.exec(text);
    if (group) ns = group[1] ?? "";
    const snapshot = SNAPSHOT.exec(text);
    const mark = MARKS[snapshot?.[1] ?? ""];
    if (snapshot && mark) found.push({ ns, group: snapshot[2] ?? "", time: snapshot[3] ?? "", mark });
  }
  return found;
}

export interface PreviewCounts {
  snapshots: number;
  removed: number;
  groups: number;
  /** Groups of which something goes. */
  touched: number;
}

export function countsOf(preview: readonly Preview[]): PreviewCounts {
  const groups = new Set<string>();
  const touched = new Set<string>();
  for (const { ns, group, mark } of preview) {
    groups.add(`${ns}:${group}`);
    if (mark === "remove") touched.add(`${ns}:${group}`);
  }
  return {
    snapshots: preview.length,
    removed: preview.filter(({ mark }) => mark === "remove").length,
    groups: groups.size,
    touched: touched.size,
  };
}

/** Adds why each stays or goes, where what is reckoned here comes to the same as what the server said. */
export function withReasons(preview: readonly Preview[], keep: Keep, zone: string): Preview[] {
  const groups = new Map<string, Preview[]>();
  for (const row of preview) {
    const name = `${row.ns}:${row.group}`;
    const known = groups.get(name);
    if (known) known.push(row);
    else groups.set(name, [row]);
  }
  return [...groups.values()].flatMap((rows) => {
    const why = reasons(
      rows.map((row) => ({
        time: secondsOf(row),
        isFinished: row.mark !== "partial",
        isProtected: row.mark === "protected",
      })),
      keep,
      zone,
    );
    return rows.map((row) => {
      const reason = why.get(secondsOf(row));
      const fits =
        reason !== undefined && (row.mark === "remove") === (reason === "unfinished" || reason === "surplus");
      return fits ? { ...row, reason } : row;
    });
  });
}

const secondsOf = ({ time }: Preview): number => Date.parse(time) / 1000;
