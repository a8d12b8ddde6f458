import { expect, test } from "vitest";
import { newFingerprint, sorted, type Report } from "./probe-steps";

const certificate = { fingerprint: "aa", "is-trusted": false, names: ["pbs2"] };
const report: Report = {
  peer: "pbs2:8007",
  "auth-id": "a@pbs",
  usable: false,
  steps: [
    { step: "connection", state: "ok", text: "reached" },
    { step: "certificate", state: "failed", text: "is not trusted", hint: "pin it" },
    { step: "login", state: "skipped", text: "an earlier step failed" },
    { step: "datastore", state: "skipped", text: "no datastore was named" },
    { step: "privileges", state: "skipped", text: "an earlier step failed" },
  ],
  certificate,
  datastores: [],
  namespaces: [],
  privileges: [],
};

test("steps that were not taken are told together, by reason", () => {
  const { taken, skipped } = sorted(report.steps);
  expect(taken.map((step) => step.step)).toEqual(["connection", "certificate"]);
  expect([...skipped]).toEqual([
    ["an earlier step failed", ["login", "privileges"]],
    ["no datastore was named", ["datastore"]],
  ]);
});

test("only a certificate that nobody vouches for and that is not the expected one is offered", () => {
  expect(newFingerprint(report, undefined)).toBe("aa");
  expect(newFingerprint(report, "bb")).toBe("aa");
  expect(newFingerprint(report, "aa")).toBeUndefined();
  expect(newFingerprint({ ...report, certificate: { ...certificate, "is-trusted": true } }, undefined)).toBeUndefined();
});
