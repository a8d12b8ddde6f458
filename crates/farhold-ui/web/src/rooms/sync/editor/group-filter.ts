// A group filter in its parts, such as `exclude:type:vm`. Source: docs/spec/sync.md 5.

export type Matcher = "type" | "group" | "regex";

export interface GroupFilter {
  isExclude: boolean;
  matcher: Matcher;
  value: string;
}

const FILTER = /^(?:(include|exclude):)?(type|group|regex):([\s\S]*)$/;

/** Takes a filter apart. What is none stands as an expression, so that the server says what is wrong with it. */
export function parseFilter(text: string): GroupFilter {
  const [, sign, matcher, value] = FILTER.exec(text) ?? [];
  if (matcher === undefined) return { isExclude: false, matcher: "regex", value: text };
  return { isExclude: sign === "exclude", matcher: matcher as Matcher, value: value ?? "" };
}

/** Puts a filter together, in the form in which it is stored. */
export const formatFilter = ({ isExclude, matcher, value }: GroupFilter): string =>
  `${isExclude ? "exclude:" : ""}${matcher}:${value}`;

/** Whether a filter is complete enough to be tried. */
export const isComplete = (text: string): boolean => parseFilter(text).value !== "";
