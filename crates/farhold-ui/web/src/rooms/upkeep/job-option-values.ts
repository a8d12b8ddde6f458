// What a form holds of the options that jobs of any kind have. No drawing here, so that tests need no document.

import type { JobOptions } from "./job-save";

const NAMES = ["stale-after", "ping-success", "ping-failure"] as const;

export type JobOptionValues = Record<(typeof NAMES)[number], string>;

export function jobOptionValues(stored: JobOptions = {}): JobOptionValues {
  return {
    "stale-after": stored["stale-after"] ?? "",
    "ping-success": stored["ping-success"] ?? "",
    "ping-failure": stored["ping-failure"] ?? "",
  };
}

export function jobOptionsOf(values: JobOptionValues): JobOptions {
  return Object.fromEntries(NAMES.map((name) => [name, values[name].trim()]));
}
