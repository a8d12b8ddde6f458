// The counts of groups and snapshots as rows.

import type { Data } from "../../api/client";

type Counts = Data<"get", "/admin/datastore/{store}/status">["counts"];

const TYPES = ["vm", "ct", "host", "other"] as const;

export interface ContentRow {
  type: (typeof TYPES)[number] | "total";
  groups: number;
  snapshots: number;
}

/** Returns a row for each type of backup that there is, and one for all together if there are several. */
export function contentOf(counts: Counts): ContentRow[] {
  const rows: ContentRow[] = TYPES.flatMap((type) => {
    const count = counts?.[type];
    return count && count.groups + count.snapshots > 0 ? [{ type, ...count }] : [];
  });
  if (rows.length < 2) return rows;
  const sum = (name: "groups" | "snapshots") => rows.reduce((total, row) => total + row[name], 0);
  return [...rows, { type: "total", groups: sum("groups"), snapshots: sum("snapshots") }];
}
