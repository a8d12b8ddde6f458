import { expect, test } from "vitest";
import { shareOf } from "./share";

test("what the phase counts is told where it is known, else snapshots", () => {
  expect(shareOf({ done: 25, total: 100, snapshots: 2, snapshots_done: 1 })).toBe(0.25);
  expect(shareOf({ done: 1.5, total: 6 })).toBe(0.25);
  expect(shareOf({ done: 0, total: 0, snapshots: 4, snapshots_done: 1 })).toBe(0.25);
  expect(shareOf({ done: 0, total: 0, snapshots: null, snapshots_done: 0 })).toBeUndefined();
  expect(shareOf({ done: 0, total: null })).toBeUndefined();
  expect(shareOf({ done: 120, total: 100, snapshots: 1, snapshots_done: 1 })).toBe(1);
});
