// Spans as options have them, such as `26h` or `1d 2h`. Source: docs/spec/schedules-and-tasks.md 2.1.

const SECONDS: readonly (readonly [readonly string[], number])[] = [
  [["y", "year", "years"], 31_557_600],
  [["M", "month", "months"], 2_630_016],
  [["w", "week", "weeks"], 604_800],
  [["d", "day", "days"], 86_400],
  [["h", "hr", "hour", "hours"], 3_600],
  [["m", "min", "minute", "minutes"], 60],
  [["", "s", "sec", "second", "seconds"], 1],
];

/** Returns the seconds of a span; `undefined` if it is none. The server has the last word. */
export function secondsOf(text: string): number | undefined {
  const parts = [...text.trim().matchAll(/(\d+)\s*([A-Za-z]*)\s*/g)];
  if (parts.length === 0 || parts.map(([whole]) => whole).join("") !== text.trim()) return undefined;
  let total = 0;
  for (const [, amount = "", unit = ""] of parts) {
    const found = SECONDS.find(([names]) => names.includes(unit));
    if (!found) return undefined;
    total += Number(amount) * found[1];
  }
  return total;
}
