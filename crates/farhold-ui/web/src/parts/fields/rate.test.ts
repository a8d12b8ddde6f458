import { expect, test } from "vitest";
import { isRate, rateChoices } from "./rate";

test("an amount has a number and perhaps a unit", () => {
  for (const text of ["", "1024", "20 MiB", "1.5g", "20MB", "10iB"]) expect(isRate(text), text).toBe(true);
  for (const text of ["fast", "20 MiB/s", "20 XiB", "MiB"]) expect(isRate(text), text).toBe(false);
});

test("a bare number is completed by units", () => {
  expect(rateChoices("12.5")).toEqual(["12.5 KiB", "12.5 MiB", "12.5 GiB"]);
  expect(rateChoices("12 M")).toContain("10 MiB");
});
