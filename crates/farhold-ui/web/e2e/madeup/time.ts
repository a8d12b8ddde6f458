/** When the made-up data is looked at, and names of tasks. */

/** 2026-11-26 09:30:00 UTC, a Thursday. */
export const NOW = 1_795_685_400;
export const MINUTE = 60;
export const HOUR = 3_600;
export const DAY = 86_400;

export const USER = "admin@pbs";
export const NODE = "backup1";

/** Returns the time of an hour of today, or of so many days ago. */
export function at(hour: number, minute = 0, daysAgo = 0): number {
  return NOW - (NOW % DAY) - daysAgo * DAY + hour * HOUR + minute * MINUTE;
}

/** Returns the unique name of a worker task. */
export function upid(type: string, id: string, start: number, user = USER): string {
  const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, "0");
  const escaped = id.replaceAll("-", "\\x2d").replaceAll(":", "\\x3a").replaceAll("/", "-");
  return `UPID:${NODE}:${hex(812, 8)}:${hex(91_234, 8)}:${hex(start % 9_999, 8)}:${hex(start, 8)}:${type}:${escaped}:${user}:`;
}

/** Numbers that look random and are always the same: a linear congruential generator. */
export function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}
