import { expect, test } from "vitest";
import { sayMatcher } from "./say";

test("matchers are said in words", () => {
  expect(
    sayMatcher({ mode: "all", "invert-match": true, "match-field": ["exact:type=prune"], "match-severity": ["info"] }),
  ).toBe("all but: type is prune and severity is info");
  expect(sayMatcher({ mode: "any", "match-field": ["regex:datastore=^t"], "match-severity": ["warning,error"] })).toBe(
    "datastore matches ^t, or severity is warning or error",
  );
  expect(sayMatcher({ "match-calendar": ["8-12"] })).toBe("time is within 8-12");
});

test("a matcher without rules lets through everything, turned around nothing", () => {
  expect(sayMatcher({})).toBe("everything");
  expect(sayMatcher({ "invert-match": true })).toBe("nothing");
});
