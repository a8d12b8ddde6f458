import { expect, test } from "vitest";
import { changesOf, withoutEmpty } from "../../../api/changes";
import { formatFilter, isComplete, parseFilter } from "./group-filter";
import { bodyOf, draftOf, normalised, optionsOf, valuesOf, withFormerKey, wrongOf, type Stored } from "./values";

const FULL: Stored = {
  id: "far-1",
  store: "tank",
  ns: "site",
  remote: "far",
  "remote-store": "vault",
  "remote-ns": "a/b",
  owner: "ann@pbs",
  "max-depth": 0,
  "group-filter": ["type:vm", "exclude:group:vm/9"],
  "transfer-last": 3,
  "worker-threads": 4,
  "remove-vanished": true,
  "encrypted-only": true,
  "verified-only": true,
  "resync-corrupt": true,
  "run-on-mount": true,
  "unmount-on-done": true,
  "rate-in": "20 MiB",
  "burst-in": "40 MiB",
  "rate-out": "5 MB",
  "burst-out": "6 MB",
  "associated-key": ["key1"],
  schedule: "daily",
  comment: "words",
};

test("every option of a job goes through the form and back", () => {
  expect(withoutEmpty(bodyOf(valuesOf(FULL)))).toEqual(FULL);
  const push: Stored = { ...FULL, "sync-direction": "push", "active-encryption-key": "key2" };
  delete push["resync-corrupt"];
  expect(withoutEmpty(bodyOf(valuesOf(push)))).toEqual(push);
});

test("a form that was not touched changes nothing", () => {
  const stored: Stored[] = [
    FULL,
    { id: "a-b", store: "s-s", "remote-store": "t-t" },
    { id: "a-b", store: "s-s", "remote-store": "t-t", "sync-direction": "pull", "remove-vanished": false },
  ];
  for (const job of stored) expect(changesOf(normalised(job), bodyOf(valuesOf(job)))).toEqual({});
});

test("what is switched off or emptied is deleted, a depth of zero is not empty", () => {
  const values = { ...valuesOf(FULL), "remove-vanished": false, "run-on-mount": false, "rate-in": "", "max-depth": "" };
  const changes = changesOf(normalised(FULL), bodyOf(values));
  expect(changes.delete?.toSorted()).toEqual([
    "max-depth",
    "rate-in",
    "remove-vanished",
    "run-on-mount",
    "unmount-on-done",
  ]);
  expect(bodyOf(valuesOf(FULL))["max-depth"]).toBe(0);
});

test("a kind keeps only what it can have", () => {
  const values = { ...valuesOf(FULL), "verify-after": true, "traffic-control": true };
  expect(bodyOf({ ...values, kind: "push", "active-encryption-key": "key1" })).toMatchObject({
    "sync-direction": "push",
    "active-encryption-key": "key1",
  });
  expect(withoutEmpty(bodyOf({ ...values, kind: "push" }))).not.toHaveProperty("resync-corrupt");
  expect(withoutEmpty(bodyOf({ ...values, kind: "local", "active-encryption-key": "k" }))).not.toHaveProperty("remote");
  expect(withoutEmpty(optionsOf({ ...values, kind: "push" }))).toEqual({ "traffic-control": true });
  expect(withoutEmpty(optionsOf({ ...values, kind: "local" }))).toEqual({ "verify-after": true });
});

test("a dry run names only a job that is stored", () => {
  const { id, ...rest } = FULL;
  expect(draftOf(valuesOf(FULL), undefined)).toEqual(rest);
  expect(draftOf({ ...valuesOf(FULL), id: "half" }, id)).toEqual(FULL);
});

test("a former active key stays with the job", () => {
  const stored: Stored = { ...FULL, "active-encryption-key": "key0", "associated-key": ["key1"] };
  const gone = { delete: ["active-encryption-key" as const] };
  expect(withFormerKey(stored, { ...gone, "associated-key": ["key2"] })["associated-key"]).toEqual(["key2", "key0"]);
  expect(withFormerKey(stored, gone)).toEqual(gone);
  expect(withFormerKey(stored, { "active-encryption-key": "key2", "associated-key": ["key3"] })).toEqual({
    "active-encryption-key": "key2",
    "associated-key": ["key3"],
  });
});

test("what is missing is said before the server is asked", () => {
  expect(Object.keys(wrongOf(valuesOf({}))).toSorted()).toEqual(["id", "remote", "remote-store", "store"]);
  const local = { ...valuesOf({ id: "a-b", store: "s-s", "remote-store": "s-s" }) };
  expect(Object.keys(wrongOf(local))).toEqual(["remote-store"]);
  expect(wrongOf({ ...valuesOf(FULL), "group-filter": ["type:vm", "group:"] })).toHaveProperty("group-filter.1");
});

test("filters are taken apart and put together", () => {
  const cases: [string, string][] = [
    ["type:vm", "type:vm"],
    ["include:group:vm/100", "group:vm/100"],
    ["exclude:regex:^ct/(1|2):x", "exclude:regex:^ct/(1|2):x"],
    ["nonsense", "regex:nonsense"],
  ];
  expect(cases.map(([text]) => formatFilter(parseFilter(text)))).toEqual(cases.map(([, stored]) => stored));
  expect(["group:", "group:vm/1", "exclude:regex:"].map(isComplete)).toEqual([false, true, false]);
});
