import { expect, test } from "vitest";
import { snapshotCountsOf } from "./snapshot-counts";

const TEXT = `farhold_datastore_namespaces{datastore="tank"} 9.0
farhold_datastore_namespaces{datastore="other"} 1.0
farhold_datastore_snapshots{datastore="tank",state="verified"} 22.0
farhold_datastore_snapshots{datastore="tank",state="failed"} 0.0
farhold_datastore_snapshots{datastore="other",state="failed"} 3.0
farhold_datastore_counted_timestamp_seconds{datastore="tank"} 1795697341.0
`;

test("counts are those of the one datastore", () => {
  expect(snapshotCountsOf(TEXT, "tank")).toEqual({
    counted: 1795697341,
    namespaces: 9,
    states: [
      { state: "verified", count: 22 },
      { state: "failed", count: 0 },
    ],
  });
  expect(snapshotCountsOf(TEXT, "other")).toEqual({ namespaces: 1, states: [{ state: "failed", count: 3 }] });
  expect(snapshotCountsOf(TEXT, "new")).toBeUndefined();
});
