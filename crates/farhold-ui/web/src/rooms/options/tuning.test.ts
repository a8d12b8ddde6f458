import { expect, test } from "vitest";
import { tuningText, tuningValues } from "./tuning";

test("expert settings are shown and stored again as they were", () => {
  const stored = "chunk-order=none,sync-level=file,gc-atime-safety-check=0,gc-atime-cutoff=60";
  const values = tuningValues(stored);
  expect(values).toMatchObject({ "chunk-order": "none", "gc-atime-safety-check": "0", "gc-atime-cutoff": 60 });
  expect(values["gc-cache-capacity"]).toBe("");
  expect(new Set(tuningText(values).split(","))).toEqual(new Set(stored.split(",")));
});

test("without settings nothing is stored", () => {
  expect(tuningText(tuningValues(undefined))).toBe("");
  expect(tuningText({ ...tuningValues(""), "default-verification-workers": 8 })).toBe("default-verification-workers=8");
});
