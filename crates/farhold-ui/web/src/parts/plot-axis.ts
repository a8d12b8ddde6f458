// Where the lines of a plot's grid stand, and what is written at those of the time axis.

import { dateTime } from "../format/time";

/** What a plot's values are, so that the grid stands at round ones. */
export type Steps = "decimal" | "whole" | "binary" | "seconds";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const DECADES = Array.from({ length: 12 }, (_, exponent) => 10 ** exponent);

/** Distances between two lines of the grid; `undefined` leaves the choice to the drawing. */
export const STEPS: Record<Steps, readonly number[] | undefined> = {
  decimal: undefined,
  whole: DECADES.flatMap((decade) => [decade, 2 * decade, 5 * decade]),
  binary: Array.from({ length: 60 }, (_, exponent) => 2 ** exponent),
  seconds: [
    ...[1, 2, 5, 10, 20, 30],
    ...[1, 2, 5, 10, 20, 30].map((minutes) => minutes * MINUTE),
    ...[1, 2, 4, 8, 12].map((hours) => hours * HOUR),
    ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map((days) => days * DAY),
  ],
};

/** Returns what is written at times: the hour, with the day where it changes; only days where they are far apart. */
export function timeLabels(times: readonly number[], step: number): string[] {
  let day = "";
  return times.map((time) => {
    const [date = "", hour = ""] = dateTime(time).split(" ");
    if (step >= 28 * DAY) return date.slice(0, 7);
    if (step >= DAY) return date.slice(5);
    const clock = step < MINUTE ? hour : hour.slice(0, 5);
    const isNewDay = date !== day;
    day = date;
    return isNewDay ? `${clock}\n${date.slice(5)}` : clock;
  });
}
