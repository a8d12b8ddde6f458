import { expect, test } from "vitest";
import { changesOf, withoutEmpty } from "./changes";

test("an update names what changed and what was emptied", () => {
  const stored = { comment: "old", schedule: "daily", "group-filter": ["type:vm"], "max-depth": 2, owner: "a@pbs" };
  expect(
    changesOf<Record<string, unknown>>(stored, {
      comment: "",
      schedule: "hourly",
      "group-filter": [],
      "max-depth": 2,
      owner: "a@pbs",
      "remove-vanished": false,
      "resync-corrupt": true,
      "rate-in": "",
    }),
  ).toEqual({ schedule: "hourly", "resync-corrupt": true, delete: ["comment", "group-filter"] });
  expect(changesOf({ a: true }, { a: false })).toEqual({ a: false });
  expect(changesOf({ "max-depth": 2 }, { "max-depth": 0 })).toEqual({ "max-depth": 0 });
});

test("a creation leaves out what is empty", () => {
  expect(withoutEmpty({ a: "", b: 0, c: false, d: [], e: undefined, f: "x" })).toEqual({ b: 0, c: false, f: "x" });
});
