import { expect, test } from "vitest";
import type { ShownGroup } from "./arrange";
import { joined, type ListedSnapshot } from "./model";
import { chosen, extent, toggled } from "./selection";

const listed = (id: string, time: number): ListedSnapshot => ({
  "backup-type": "ct",
  "backup-id": id,
  "backup-time": time,
  files: [],
  protected: false,
});

const [first, second] = joined(undefined, [listed("1", 100), listed("1", 200), listed("2", 300)]);
if (!first || !second) throw new Error("two groups were listed");
const all: readonly ShownGroup[] = [first, second].map((group) => ({ group, snapshots: group.snapshots }));

test("marking marks what is missing, and takes away when nothing is", () => {
  const some = toggled(new Set(), first.snapshots.slice(0, 1));
  expect([extent(some, first.snapshots), extent(some, second.snapshots)]).toEqual(["some", "none"]);
  const whole = toggled(some, first.snapshots);
  expect(extent(whole, first.snapshots)).toBe("all");
  expect(toggled(whole, first.snapshots).size).toBe(0);
});

test("a group counts as whole only with all that it has, also what a filter hides", () => {
  const marked = new Set([...first.snapshots, ...second.snapshots].map((snapshot) => snapshot.name));
  expect(chosen(marked, all)).toMatchObject({ whole: [first, second], single: [] });
  const filtered = [{ group: first, snapshots: first.snapshots.slice(0, 1) }];
  expect(chosen(marked, filtered)).toMatchObject({ whole: [], single: [first.snapshots[0]] });
});
