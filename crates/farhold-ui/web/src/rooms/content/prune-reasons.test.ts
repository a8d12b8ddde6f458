import { expect, test } from "vitest";
import { isoWeek, reasons, type Prunable } from "./prune-reasons";

const at = (text: string): number => Date.parse(`${text}:00Z`) / 1000;
const finished = (text: string): Prunable => ({ time: at(text), isFinished: true, isProtected: false });

test("the example of the specification comes out as it stands there", () => {
  const snapshots: Prunable[] = [
    { ...finished("2026-01-06T01:00"), isFinished: false },
    finished("2026-01-05T20:00"),
    finished("2026-01-05T08:00"),
    finished("2026-01-04T20:00"),
    finished("2026-01-04T08:00"),
    { ...finished("2026-01-03T20:00"), isProtected: true },
    { ...finished("2026-01-03T01:00"), isFinished: false },
    finished("2026-01-02T20:00"),
    finished("2026-01-01T20:00"),
    finished("2025-12-31T20:00"),
  ];
  const keep = { "keep-last": 1, "keep-daily": 2, "keep-weekly": 2, "keep-yearly": 1 };
  const found = reasons(snapshots, keep, "UTC");
  expect(snapshots.map(({ time }) => found.get(time))).toEqual([
    "partial",
    "keep-last",
    "surplus",
    "keep-daily",
    "surplus",
    "protected",
    "unfinished",
    "keep-daily",
    "surplus",
    "keep-yearly",
  ]);
});

test("days begin at midnight where the server is", () => {
  const snapshots = [finished("2026-01-05T22:00"), finished("2026-01-05T23:30")];
  const keep = { "keep-daily": 2 };
  expect(reasons(snapshots, keep, "UTC").get(at("2026-01-05T22:00"))).toBe("surplus");
  expect(reasons(snapshots, keep, "Europe/Berlin").get(at("2026-01-05T22:00"))).toBe("keep-daily");
});

test("without any option there is nothing to give reasons for", () => {
  expect(reasons([finished("2026-01-05T22:00")], {}, "UTC").size).toBe(0);
});

test("weeks belong to the year of their Thursday", () => {
  expect([isoWeek(2025, 12, 31), isoWeek(2027, 1, 1), isoWeek(2026, 12, 28)]).toEqual(["2026/1", "2026/53", "2026/53"]);
});
