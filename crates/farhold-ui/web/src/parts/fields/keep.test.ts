import { expect, test } from "vitest";
import { keepOf, keepsAll, keepValues } from "./keep";

test("fields show what is stored, and say it again", () => {
  const stored = { "keep-last": 2, "keep-yearly": 1 };
  const values = keepValues(stored);
  expect(values["keep-daily"]).toBe("");
  expect(keepOf(values)).toEqual(stored);
  expect(keepOf({ ...values, "keep-last": "", "keep-daily": "7" })).toEqual({ "keep-daily": 7, "keep-yearly": 1 });
});

test("without any number nothing is removed", () => {
  expect(keepsAll({})).toBe(true);
  expect(keepsAll({ "keep-hourly": 1 })).toBe(false);
});
