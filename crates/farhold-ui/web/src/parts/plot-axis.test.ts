import { expect, test } from "vitest";
import { STEPS, timeLabels } from "./plot-axis";

const at = (text: string): number => new Date(text).getTime() / 1000;

test("the day stands only where it changes", () => {
  const times = ["2026-05-01T22:00", "2026-05-01T23:00", "2026-05-02T00:00", "2026-05-02T01:00"].map(at);
  expect(timeLabels(times, 3600)).toEqual(["22:00\n05-01", "23:00", "00:00\n05-02", "01:00"]);
});

test("the finer the axis, the more of the time is written", () => {
  const time = at("2026-05-01T22:10:05");
  expect([10, 60, 86400, 31 * 86400].map((step) => timeLabels([time], step)[0])).toEqual([
    "22:10:05\n05-01",
    "22:10\n05-01",
    "05-01",
    "2026-05",
  ]);
});

test("distances ascend", () => {
  for (const steps of Object.values(STEPS)) {
    expect([...(steps ?? [])].sort((a, b) => a - b)).toEqual(steps ?? []);
  }
});
