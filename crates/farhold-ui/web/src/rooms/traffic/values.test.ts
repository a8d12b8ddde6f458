import { expect, test } from "vitest";
import { changeOf, creationOf, faultsOf, valuesOf, type Rule } from "./values";

const stored: Rule = {
  name: "slow",
  network: ["10.0.0.0/8"],
  "rate-in": "20 MiB",
  users: ["sync@pbs"],
  timeframe: ["8-18"],
  "cur-rate-in": 0,
  "cur-rate-out": 5,
};

test("a new rule holds for every network and says only what was filled in", () => {
  expect(creationOf({ ...valuesOf(undefined), name: " slow ", "rate-out": "5 MiB" })).toEqual({
    name: "slow",
    network: ["0.0.0.0/0", "::/0"],
    "rate-out": "5 MiB",
  });
});

test("a change sends what differs, and never the current rates", () => {
  expect(changeOf(stored, valuesOf(stored))).toEqual({});
  expect(
    changeOf(stored, { ...valuesOf(stored), network: ["::/0"], users: [], "rate-in": "", "burst-in": "1 GiB" }),
  ).toEqual({ network: ["::/0"], "burst-in": "1 GiB", delete: ["rate-in", "users"] });
});

test("a rule needs a name and a network, and amounts have a form", () => {
  expect(faultsOf(valuesOf(stored))).toEqual({});
  expect(Object.keys(faultsOf({ ...valuesOf(undefined), network: [], "rate-in": "fast" }))).toEqual([
    "name",
    "network",
    "rate-in",
  ]);
});
