// Which keep option of a prune keeps a snapshot. Source: docs/spec/datastore-format.md 19.
//
// What is kept is the server's to say; here is only reckoned why, for people to read.

import { KEEPS, type Keep, type KeepName } from "../../parts/fields/keep";

export interface Prunable {
  time: number;
  isFinished: boolean;
  isProtected: boolean;
}

export type Reason = KeepName | "partial" | "protected" | "unfinished" | "surplus";

const isKept = (reason: Reason | undefined): boolean => reason?.startsWith("keep-") ?? false;

/** Returns why each snapshot of a group is kept or not, by its time. `zone`: that of the server, whose days count. */
export function reasons(snapshots: readonly Prunable[], keep: Keep, zone: string): ReadonlyMap<number, Reason> {
  const rules = KEEPS.filter((name) => keep[name]);
  if (rules.length === 0) return new Map();
  const newestFirst = [...snapshots].sort((a, b) => b.time - a.time);
  const buckets = newestFirst.map((snapshot) => bucketsOf(snapshot.time, zone));
  const marks: (Reason | undefined)[] = newestFirst.map((snapshot, at) =>
    snapshot.isFinished ? undefined : at === 0 ? "partial" : "unfinished",
  );
  for (const rule of rules) {
    const done = new Set(buckets.filter((_, at) => isKept(marks[at])).map((bucket) => bucket[rule]));
    const filled = new Set<string>();
    for (const [at, snapshot] of newestFirst.entries()) {
      const bucket = buckets[at]?.[rule] ?? "";
      if (marks[at] !== undefined) continue;
      if (snapshot.isProtected) marks[at] = "protected";
      else if (done.has(bucket)) continue;
      else if (filled.has(bucket)) marks[at] = "surplus";
      else if (filled.size < (keep[rule] ?? 0)) {
        filled.add(bucket);
        marks[at] = rule;
      } else break;
    }
  }
  return new Map(
    newestFirst.map((snapshot, at) => [snapshot.time, snapshot.isProtected ? "protected" : (marks[at] ?? "surplus")]),
  );
}

const formats = new Map<string, Intl.DateTimeFormat>();

function bucketsOf(time: number, zone: string): Record<KeepName, string> {
  let format = formats.get(zone);
  if (!format) {
    const numeric = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", hourCycle: "h23" } as const;
    format = new Intl.DateTimeFormat("en", { ...numeric, timeZone: zone });
    formats.set(zone, format);
  }
  const part = Object.fromEntries(format.formatToParts(time * 1000).map(({ type, value }) => [type, value]));
  const { year = "", month = "", day = "", hour = "" } = part;
  return {
    "keep-last": String(time),
    "keep-hourly": `${year}/${month}/${day}/${hour}`,
    "keep-daily": `${year}/${month}/${day}`,
    "keep-weekly": isoWeek(Number(year), Number(month), Number(day)),
    "keep-monthly": `${year}/${month}`,
    "keep-yearly": year,
  };
}

const DAY_MS = 24 * 3600 * 1000;

/** Returns year and week of a day as in ISO 8601: weeks begin on Monday and belong to the year of their Thursday. */
export function isoWeek(year: number, month: number, day: number): string {
  const date = Date.UTC(year, month - 1, day);
  const thursday = new Date(date + (4 - (new Date(date).getUTCDay() || 7)) * DAY_MS);
  const first = Date.UTC(thursday.getUTCFullYear(), 0, 1);
  return `${thursday.getUTCFullYear()}/${Math.floor((thursday.getTime() - first) / DAY_MS / 7) + 1}`;
}
