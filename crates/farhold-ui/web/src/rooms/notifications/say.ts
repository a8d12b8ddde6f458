// A matcher in words.

import { texts } from "../../texts";
import { rulesOf, type Rule, type RuleLists } from "./rules";

const words = texts.notifications;

function sayRule(rule: Rule): string {
  switch (rule.kind) {
    case "exact":
      return words.says.exact(rule.field, rule.values.join(words.says.or));
    case "regex":
      return words.says.regex(rule.field, rule.pattern);
    case "severity":
      return words.says.severity(rule.values.join(words.says.or));
    case "calendar":
      return words.says.calendar(rule.window);
  }
}

/** Says what a matcher lets through. */
export function sayMatcher(matcher: RuleLists & { mode?: "all" | "any"; "invert-match"?: boolean }): string {
  const rules = rulesOf(matcher);
  const isInverted = matcher["invert-match"] ?? false;
  if (rules.length === 0) return isInverted ? words.nothing : words.everything;
  const said = rules.map(sayRule).join(matcher.mode === "any" ? words.says.any : words.says.all);
  return isInverted ? words.says.not(said) : said;
}
