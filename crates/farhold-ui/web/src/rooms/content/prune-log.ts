// What a dry run of a prune of many groups says in its log. Source: docs/spec/datastore-format.md 19, "Execution".

export interface PlannedSnapshot {
  ns: string;
  /** Such as `vm/100/2026-01-01T10:00:00Z`. */
  name: string;
  decision: "keep" | "keep partial" | "keep protected" | "remove";
}

const GROUP = /(?:^|: )Pruning group ([^":]*):"[^"]*"$/;
const SNAPSHOT = /(?:^|: )would (keep partial|keep protected|keep|remove) (\S+)$/;

/** Returns what would happen to each snapshot, in the order of the log. Other lines are left out. */
export function plannedOf(lines: readonly string[]): readonly PlannedSnapshot[] {
  let ns = "";
  return lines.flatMap((line): PlannedSnapshot[] => {
    const group = GROUP.exec(line);
    if (group) {
      ns = group[1] ?? "";
      return [];
    }
    const found = SNAPSHOT.exec(line);
    if (!found?.[1] || !found[2]) return [];
    return [{ ns, name: found[2], decision: found[1] as PlannedSnapshot["decision"] }];
  });
}
