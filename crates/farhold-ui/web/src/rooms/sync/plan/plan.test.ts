import { expect, test } from "vitest";
import { everyKey, openAtFirst, shownOf } from "./plan-shown";
import { isIdle, removedWords, totalsOf } from "./plan-totals";
import { treeOf, type Plan } from "./plan-tree";

const HOUR = 3600;
const PLAN: Plan = {
  direction: "pull",
  "is-compatibility-mode": false,
  "snapshots-to-fetch": 2,
  "bytes-estimate": 300,
  unreadable: [],
  namespaces: [
    {
      source: "",
      target: "site",
      "is-missing-on-target": true,
      "groups-total": 3,
      groups: [
        {
          group: "vm/100",
          snapshots: [
            { time: 0, action: "skip", reason: "already-synced", "size-bytes": 50 },
            { time: HOUR, action: "compare", reason: "newest-on-target", "size-bytes": 70 },
            { time: 2 * HOUR, action: "transfer", reason: "newer", "size-bytes": 100 },
          ],
          removals: [{ time: 3 * HOUR, "is-protected": true }],
        },
        {
          group: "vm/200",
          snapshots: [{ time: 0, action: "refetch", reason: "corrupt", "size-bytes": 200 }],
          removals: [],
          failure: "another owner",
        },
        { group: "ct/5", snapshots: [{ time: 0, action: "skip", reason: "in-progress" }], removals: [] },
      ],
      "removed-groups": [
        { group: "host/gone", snapshots: [{ time: 0, "is-protected": false }] },
        { group: "host/alien", snapshots: [], kept: "it has another owner" },
      ],
    },
  ],
  "removed-namespaces": [
    { namespace: "old", groups: [{ group: "vm/1", snapshots: [{ time: 0, "is-protected": true }] }] },
  ],
};

const labels = (nodes: readonly { label: string }[]) => nodes.map(({ label }) => label);

test("all of a plan is in the tree", () => {
  const tree = treeOf(PLAN);
  expect(labels(shownOf(tree, everyKey(tree), "all", ""))).toEqual([
    "Root → site",
    "vm/100",
    "1970-01-01T00:00:00Z",
    "1970-01-01T01:00:00Z",
    "1970-01-01T02:00:00Z",
    "1970-01-01T03:00:00Z",
    "vm/200",
    "another owner",
    "1970-01-01T00:00:00Z",
    "ct/5",
    "1970-01-01T00:00:00Z",
    "host/gone",
    "1970-01-01T00:00:00Z",
    "host/alien",
    "old (vanished)",
    "vm/1",
    "1970-01-01T00:00:00Z",
  ]);
  expect(new Set(tree.flatMap((one) => [one, ...one.children]).map(({ key }) => key)).size).toBe(8);
  expect(openAtFirst(tree)).toEqual(everyKey(tree));
});

test("only what is asked for is shown, with the names above it", () => {
  const tree = treeOf(PLAN);
  expect(labels(shownOf(tree, everyKey(tree), "failures", ""))).toEqual(["Root → site", "vm/200", "another owner"]);
  expect(labels(shownOf(tree, everyKey(tree), "skipped", "ct/"))).toEqual([
    "Root → site",
    "ct/5",
    "1970-01-01T00:00:00Z",
  ]);
  expect(labels(shownOf(tree, new Set(), "removals", ""))).toEqual(["Root → site", "old (vanished)"]);
  expect(shownOf(tree, everyKey(tree), "all", "nowhere")).toEqual([]);
});

test("figures count what would be done", () => {
  const totals = totalsOf(PLAN, treeOf(PLAN));
  expect(totals).toMatchObject({ fetch: 2, compare: 1, skip: 2, remove: 1, keep: 2, fail: 1, bytes: 300, created: 1 });
  expect(totals.skipped).toEqual([
    ["already-synced", 1],
    ["in-progress", 1],
  ]);
  expect(removedWords(totals)).toBe("1 snapshot, 1 whole group, 1 namespace");
  expect(isIdle(totals)).toBe(false);
});
