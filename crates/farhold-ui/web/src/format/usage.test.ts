import { expect, test } from "vitest";
import { estimatedFull, fullnessOf, maintenanceOf, usedShare } from "./usage";

const words = {
  unknown: "unknown",
  steady: "steady",
  shrinking: "shrinking",
  far: "far",
  within: (span: string) => `within ${span}`,
  years: (count: number) => `${count} years`,
};

test("the estimate is told as what it means", () => {
  const now = 1_800_000_000;
  const told = [undefined, null, 0, now - 5, now + 86400 * 3, now + 86400 * 1000, now + 86400 * 365 * 11].map((date) =>
    estimatedFull(date, now, words),
  );
  expect(told).toEqual(["unknown", "unknown", "steady", "shrinking", "within 3 d", "3 years", "far"]);
});

test("a share is only told of a known size", () => {
  expect([usedShare(1, 4), usedShare(5, 4), usedShare(undefined, 4), usedShare(1, undefined), usedShare(0, 0)]).toEqual(
    [0.25, 1, undefined, undefined, undefined],
  );
  expect([0.79, 0.8, 0.9].map(fullnessOf)).toEqual(["fine", "high", "critical"]);
});

test("maintenance modes are understood in all ways they are written", () => {
  expect(
    [
      undefined,
      "",
      "offline",
      "type=read-only",
      "offline,message=disk%20swap",
      'type=unmount,message="a, \\"b\\""',
      "offline,message=100%",
    ].map(maintenanceOf),
  ).toEqual([
    undefined,
    undefined,
    { type: "offline" },
    { type: "read-only" },
    { type: "offline", message: "disk swap" },
    { type: "unmount", message: 'a, "b"' },
    { type: "offline", message: "100%" },
  ]);
});
