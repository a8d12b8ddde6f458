import { expect, test } from "vitest";
import { blankRule, incompleteRule, listsOf, rulesOf } from "./rules";

test("rules of all kinds are read and written back", () => {
  const lists = {
    "match-field": ["exact:type=prune,gc", "regex:job-id=^a=b,(c|d)$"],
    "match-severity": ["info,notice", "error"],
    "match-calendar": ["mon..fri 8-17:30"],
  };
  const rules = rulesOf(lists);
  expect(rules).toEqual([
    { kind: "exact", field: "type", values: ["prune", "gc"] },
    { kind: "regex", field: "job-id", pattern: "^a=b,(c|d)$" },
    { kind: "severity", values: ["info", "notice"] },
    { kind: "severity", values: ["error"] },
    { kind: "calendar", window: "mon..fri 8-17:30" },
  ]);
  expect(listsOf(rules)).toEqual(lists);
  expect(listsOf(rulesOf({}))).toEqual({ "match-field": [], "match-severity": [], "match-calendar": [] });
});

test("the first rule that lacks something is found", () => {
  expect(incompleteRule([])).toBeUndefined();
  expect(incompleteRule(rulesOf({ "match-field": ["exact:type=gc"], "match-severity": ["info"] }))).toBeUndefined();
  for (const kind of ["exact", "regex", "severity", "calendar"] as const) {
    expect(incompleteRule([{ kind: "severity", values: ["info"] }, blankRule(kind)])).toBe(2);
  }
  expect(incompleteRule([{ kind: "exact", field: " ", values: ["a"] }])).toBe(1);
});

test("a rule that becomes one of another kind keeps its field", () => {
  expect(blankRule("regex", { kind: "exact", field: "datastore", values: ["tank"] })).toEqual({
    kind: "regex",
    field: "datastore",
    pattern: "",
  });
});
