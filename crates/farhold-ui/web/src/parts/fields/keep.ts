// How many snapshots of a group a prune keeps. Source: docs/spec/schedules-and-tasks.md, "Prune".

export const KEEPS = ["keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly"] as const;

export type KeepName = (typeof KEEPS)[number];
/** What the fields hold: a number, or an empty text. */
export type KeepValues = Record<KeepName, number | string>;
/** What the API takes and gives: absent where nothing is kept for the period's sake. */
export type Keep = Partial<Record<KeepName, number>>;

/** Returns what the fields show of a stored setting. */
export function keepValues(stored: Keep = {}): KeepValues {
  return Object.fromEntries(KEEPS.map((name) => [name, stored[name] ?? ""])) as KeepValues;
}

/** Returns what the fields say, without those that are empty. */
export function keepOf(values: KeepValues): Keep {
  const keep: Keep = {};
  for (const name of KEEPS) {
    const value = Number(values[name]);
    if (values[name] !== "" && Number.isFinite(value)) keep[name] = value;
  }
  return keep;
}

/** Whether a prune with it would remove nothing, since no period is given. */
export function keepsAll(keep: Keep): boolean {
  return KEEPS.every((name) => !keep[name]);
}
