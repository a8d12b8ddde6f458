import { expect, test } from "vitest";
import { shareOf } from "./share";

test("bytes count where they are known, else snapshots", () => {
  expect(shareOf({ bytes_done: 25, bytes_total: 100, snapshots: 2, snapshots_done: 1 })).toBe(0.25);
  expect(shareOf({ bytes_done: 0, bytes_total: 0, snapshots: 4, snapshots_done: 1 })).toBe(0.25);
  expect(shareOf({ bytes_done: 0, bytes_total: 0, snapshots: null, snapshots_done: 0 })).toBeUndefined();
  expect(shareOf({ bytes_done: 120, bytes_total: 100, snapshots: 1, snapshots_done: 1 })).toBe(1);
});
