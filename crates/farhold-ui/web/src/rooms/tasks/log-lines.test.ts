import { expect, test } from "vitest";
import { firstLine, joined, weightOf } from "./log-lines";

const lines = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => ({ n: from + index, t: `line ${from + index}` }));

test("pieces that overlap are joined once", () => {
  expect(joined(lines(1, 3), lines(2, 5)).map((line) => line.n)).toEqual([1, 2, 3, 4, 5]);
  expect(joined([], lines(7, 8)).map((line) => line.n)).toEqual([7, 8]);
  const before = lines(1, 3);
  expect(joined(before, [])).toBe(before);
});

test("a piece that does not follow leaves no hole", () => {
  expect(joined(lines(1, 3), lines(6, 7)).map((line) => line.n)).toEqual([1, 2, 3]);
});

test("of a long log the end is read first", () => {
  expect([firstLine(0), firstLine(5000), firstLine(5001)]).toEqual([0, 0, 1]);
});

test("errors and warnings stand out", () => {
  expect(["TASK ERROR: abort", "sync failed", "TASK WARNINGS: 2", "OK", "no errors here"].map(weightOf)).toEqual([
    "bad",
    "bad",
    "warning",
    "plain",
    "plain",
  ]);
});
