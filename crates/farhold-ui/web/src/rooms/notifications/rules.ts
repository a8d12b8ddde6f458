// The rules of a matcher: in the API lists by kind, in the form one list.

export const SEVERITIES = ["info", "notice", "warning", "error", "unknown"] as const;

export type Rule =
  | { kind: "exact"; field: string; values: string[] }
  | { kind: "regex"; field: string; pattern: string }
  | { kind: "severity"; values: string[] }
  | { kind: "calendar"; window: string };

export type RuleKind = Rule["kind"];

/** The lists of rules that the API has. */
export interface RuleLists {
  "match-field"?: string[];
  "match-severity"?: string[];
  "match-calendar"?: string[];
}

const isFilled = (text: string): boolean => text !== "";

function fieldRule(text: string): Rule {
  const [, kind, field = "", value = ""] = /^(exact|regex):([^=]*)=(.*)$/s.exec(text) ?? [];
  return kind === "regex"
    ? { kind, field, pattern: value }
    : {
        kind: "exact",
        field,
        values: value
          .split(",")
          .map((one) => one.trim())
          .filter(isFilled),
      };
}

/** Returns the rules of a matcher. */
export function rulesOf(lists: RuleLists): Rule[] {
  return [
    ...(lists["match-field"] ?? []).map(fieldRule),
    ...(lists["match-severity"] ?? []).map((text): Rule => ({
      kind: "severity",
      values: text
        .split(",")
        .map((one) => one.trim())
        .filter(isFilled),
    })),
    ...(lists["match-calendar"] ?? []).map((window): Rule => ({ kind: "calendar", window })),
  ];
}

/** Returns the lists that rules stand for; those without rules are empty. */
export function listsOf(rules: readonly Rule[]): Required<RuleLists> {
  const lists: Required<RuleLists> = { "match-field": [], "match-severity": [], "match-calendar": [] };
  for (const rule of rules) {
    if (rule.kind === "exact") lists["match-field"].push(`exact:${rule.field.trim()}=${rule.values.join(",")}`);
    else if (rule.kind === "regex") lists["match-field"].push(`regex:${rule.field.trim()}=${rule.pattern}`);
    else if (rule.kind === "severity") lists["match-severity"].push(rule.values.join(","));
    else lists["match-calendar"].push(rule.window.trim());
  }
  return lists;
}

/** Returns a rule of a kind to begin with. What the former one has in common with it stays. */
export function blankRule(kind: RuleKind, former?: Rule): Rule {
  const field = former && "field" in former ? former.field : "type";
  switch (kind) {
    case "exact":
      return { kind, field, values: [] };
    case "regex":
      return { kind, field, pattern: "" };
    case "severity":
      return { kind, values: [] };
    case "calendar":
      return { kind, window: "" };
  }
}

/** Returns the place of the first rule that lacks something, counted from 1. */
export function incompleteRule(rules: readonly Rule[]): number | undefined {
  const at = rules.findIndex((rule) => {
    if ("field" in rule && rule.field.trim() === "") return true;
    if ("values" in rule) return rule.values.length === 0;
    return (rule.kind === "regex" ? rule.pattern : rule.window).trim() === "";
  });
  return at < 0 ? undefined : at + 1;
}
