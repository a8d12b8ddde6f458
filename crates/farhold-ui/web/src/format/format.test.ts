import { expect, test } from "vitest";
import { bytes, factor, percent, rate } from "./bytes";
import { distance, snapshotTime, span } from "./time";

test("sizes are binary and short", () => {
  expect([0, 1023, 1024, 1536, 10 * 1024, 123 * 1024 ** 2, 5.5 * 1024 ** 4, -2048].map(bytes)).toEqual([
    "0 B",
    "1023 B",
    "1.00 KiB",
    "1.50 KiB",
    "10.0 KiB",
    "123 MiB",
    "5.50 TiB",
    "-2.00 KiB",
  ]);
  expect([bytes(undefined), bytes(Number.NaN), rate(2048), rate(null)]).toEqual(["–", "–", "2.00 KiB/s", "–"]);
  expect([percent(0.4153), percent(0.0123), factor(300, 100), factor(1, 0)]).toEqual(["41.5 %", "1.23 %", "3.00", "–"]);
});

test("spans show two units and never negative ones", () => {
  expect([0, 41, 60, 3661, 90000, -5].map(span)).toEqual(["0 s", "41 s", "1 min", "1 h 1 min", "1 d 1 h", "0 s"]);
  expect([distance(100, 400), distance(4000, 400), distance(undefined, 1)]).toEqual(["5 min ago", "in 1 h", "–"]);
  expect(snapshotTime(1767261600)).toBe("2026-01-01T10:00:00Z");
});
