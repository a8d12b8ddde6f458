// The lines of a task's log, as they come in pieces.

export interface LogLine {
  /** Number of the line, from 1. */
  n: number;
  /** Its text. */
  t: string;
}

/** Most lines that are asked for in one call. */
export const PIECE = 1000;
/** Of a log that is longer only this many lines are shown at first: its end. */
export const TAIL = 5000;

/** Returns the line from which to read a log of this length first, from 0. */
export function firstLine(total: number): number {
  return Math.max(0, total - TAIL);
}

/** Adds a piece; lines that are there already, or do not follow, are left out. */
export function joined(lines: readonly LogLine[], piece: readonly LogLine[]): readonly LogLine[] {
  const next = (lines.at(-1)?.n ?? (piece[0]?.n ?? 1) - 1) + 1;
  const fresh = piece.filter((line) => line.n >= next);
  return fresh.length === 0 || fresh[0]?.n !== next ? lines : [...lines, ...fresh];
}

export type Weight = "bad" | "warning" | "plain";

/** Returns how a line is to be taken. */
export function weightOf(text: string): Weight {
  if (/^TASK ERROR:|\berror\b|\bfailed\b/i.test(text)) return "bad";
  if (/^TASK WARNINGS|\bwarning\b/i.test(text)) return "warning";
  return "plain";
}
