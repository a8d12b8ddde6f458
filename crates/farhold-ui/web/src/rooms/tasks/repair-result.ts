// What a repair mended and what not, read from the end of its log. The log is what stays of a task, also after a restart
// of the server, and its end lists both.

import type { LogLine } from "./log-lines";

export interface RepairResult {
  /** The sums in one sentence. */
  summary: string;
  /** Whether it only told what it would do. */
  isDry: boolean;
  /** Snapshots that are whole again, or would be. */
  mended: readonly string[];
  /** What is still damaged, each with the reason. */
  unmended: readonly { what: string; why: string }[];
}

const SUMMARY = "summary: ";
const MENDED = /^(?:would be )?whole again:$/;
const UNMENDED = "still damaged:";

/** Returns the result of a repair; `undefined` as long as its log has none. */
export function repairResult(lines: readonly LogLine[]): RepairResult | undefined {
  const begin = lines.findLastIndex((line) => line.t.startsWith(SUMMARY));
  const first = lines[begin];
  if (!first) return undefined;
  const mended: string[] = [];
  const unmended: { what: string; why: string }[] = [];
  let list: "mended" | "unmended" | undefined;
  for (const { t: text } of lines.slice(begin + 1)) {
    if (!text.startsWith("\t")) list = MENDED.test(text) ? "mended" : text === UNMENDED ? "unmended" : undefined;
    else if (list === "mended") mended.push(text.slice(1));
    else if (list === "unmended") unmended.push(split(text.slice(1)));
  }
  const summary = first.t.slice(SUMMARY.length);
  return { summary, isDry: summary.includes("would be put in place"), mended, unmended };
}

/** A path has colons in its time, but no blank behind them. */
function split(text: string): { what: string; why: string } {
  const at = text.indexOf(": ");
  return at < 0 ? { what: text, why: "" } : { what: text.slice(0, at), why: text.slice(at + 2) };
}
