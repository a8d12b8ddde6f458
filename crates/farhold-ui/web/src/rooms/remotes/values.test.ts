import { expect, test } from "vitest";
import { changeOf, creationOf, faultsOf, probeOf, valuesOf, type Remote } from "./values";

const FINGERPRINT = Array.from({ length: 32 }, () => "ab").join(":");
const stored: Remote = {
  name: "offsite",
  host: "pbs2.example",
  port: 8007,
  "auth-id": "sync@pbs!t1",
  fingerprint: FINGERPRINT,
  comment: "far away",
};

test("a new remote leaves out what is empty, and a port may stand behind its host", () => {
  const values = { ...valuesOf(undefined), name: "far", host: "pbs3:9007", "auth-id": "a@pbs", password: "secret" };
  expect(creationOf(values)).toEqual({
    name: "far",
    host: "pbs3",
    port: 9007,
    "auth-id": "a@pbs",
    password: "secret",
  });
});

test("a change sends what differs, and the password only if one was typed", () => {
  expect(changeOf(stored, valuesOf(stored))).toEqual({});
  const values = { ...valuesOf(stored), host: "pbs9.example", port: "", fingerprint: FINGERPRINT.toUpperCase() };
  expect(changeOf(stored, values)).toEqual({ host: "pbs9.example", delete: ["port"] });
  expect(changeOf(stored, { ...valuesOf(stored), password: "new", comment: "" })).toEqual({
    password: "new",
    delete: ["comment"],
  });
});

test("the stored password is used for the stored settings only", () => {
  expect(probeOf(stored, { ...valuesOf(stored), comment: "other words" })).toEqual({ remote: "offsite" });
  expect(probeOf(stored, { ...valuesOf(stored), fingerprint: "" })).toBeUndefined();
  expect(probeOf(stored, { ...valuesOf(stored), host: "other", password: "pw" })).toEqual({
    host: "other",
    port: 8007,
    "auth-id": "sync@pbs!t1",
    password: "pw",
    fingerprint: FINGERPRINT,
  });
  expect(probeOf(undefined, { ...valuesOf(undefined), host: "a" })).toBeUndefined();
});

test("what is missing or no fingerprint is told before the server is asked", () => {
  expect(Object.keys(faultsOf(valuesOf(undefined), true))).toEqual(["name", "host", "auth-id", "password"]);
  expect(faultsOf(valuesOf(stored), false)).toEqual({});
  expect(Object.keys(faultsOf({ ...valuesOf(stored), fingerprint: "ab" }, false))).toEqual(["fingerprint"]);
});
