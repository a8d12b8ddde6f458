import { expect, test } from "vitest";
import { contentOf } from "./content-rows";

test("types without backups are left out, and several have a sum", () => {
  const counts = {
    ct: null,
    host: { groups: 10, snapshots: 12 },
    other: { groups: 0, snapshots: 0 },
    vm: { groups: 7, snapshots: 10 },
  };
  expect(contentOf(counts)).toEqual([
    { type: "vm", groups: 7, snapshots: 10 },
    { type: "host", groups: 10, snapshots: 12 },
    { type: "total", groups: 17, snapshots: 22 },
  ]);
  expect(contentOf({ ...counts, vm: null })).toEqual([{ type: "host", groups: 10, snapshots: 12 }]);
  expect(contentOf(undefined)).toEqual([]);
});
