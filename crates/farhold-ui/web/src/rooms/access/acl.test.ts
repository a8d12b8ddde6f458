import { expect, test } from "vitest";
import { entriesAround, isWithin, knownPaths } from "./acl";
import type { Entry } from "./data";

const entry = (path: string, propagate = true): Entry => ({
  path,
  propagate,
  roleid: "Audit",
  ugid: "a@pbs",
  ugid_type: "user",
});

test("a path is within itself and what is above it, but not within a namesake", () => {
  expect(isWithin("/datastore/tank", "/datastore/tank")).toBe(true);
  expect(isWithin("/datastore/tank/ns", "/datastore/tank")).toBe(true);
  expect(isWithin("/datastore/tank2", "/datastore/tank")).toBe(false);
  expect(isWithin("/datastore", "/datastore/tank")).toBe(false);
  expect(isWithin("/remote", "/")).toBe(true);
});

test("only what propagates is inherited from above", () => {
  const entries = [
    entry("/"),
    entry("/datastore", false),
    entry("/datastore"),
    entry("/datastore/tank", false),
    entry("/datastore/tank/ns"),
    entry("/datastore/tank2"),
    entry("/remote"),
  ];
  const { here, above } = entriesAround(entries, "/datastore/tank");
  expect(here).toEqual([entries[3], entries[4]]);
  expect(above).toEqual([entries[0], entries[2]]);
});

test("paths to choose from are in order and none stands twice", () => {
  const paths = knownPaths({
    stores: ["tank"],
    remotes: ["offsite"],
    entries: [entry("/datastore/tank"), entry("/tape")],
  });
  expect(paths.filter((path) => path === "/datastore/tank")).toHaveLength(1);
  expect(paths).toContain("/remote/offsite");
  expect(paths).toContain("/tape");
  expect(paths).toEqual([...paths].sort());
});
