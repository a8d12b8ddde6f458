// Expert settings of a datastore, as fields. Source: docs/spec/config-and-access.md 3.3.

import { parseProperties, writeProperties } from "./properties";

export const TUNING_NUMBERS = {
  "gc-atime-cutoff": { min: 1, max: 2880, preset: 1445 },
  "gc-cache-capacity": { min: 0, max: 8388608, preset: 1048576 },
  "default-verification-readers": { min: 1, max: 32, preset: 1 },
  "default-verification-workers": { min: 1, max: 32, preset: 4 },
} as const;

export type TuningNumber = keyof typeof TUNING_NUMBERS;

export type TuningValues = Record<TuningNumber, number | string> & {
  /** Empty for the default. */
  "chunk-order": string;
  "sync-level": string;
  "gc-atime-safety-check": string;
};

export function tuningValues(stored: string | undefined): TuningValues {
  const found = parseProperties(stored);
  const number = (name: TuningNumber) => (found[name] === undefined ? "" : Number(found[name]));
  const check = found["gc-atime-safety-check"];
  return {
    "chunk-order": found["chunk-order"] ?? "",
    "sync-level": found["sync-level"] ?? "",
    "gc-atime-safety-check": check === undefined ? "" : /^(0|false|no|off)$/i.test(check) ? "0" : "1",
    "gc-atime-cutoff": number("gc-atime-cutoff"),
    "gc-cache-capacity": number("gc-cache-capacity"),
    "default-verification-readers": number("default-verification-readers"),
    "default-verification-workers": number("default-verification-workers"),
  };
}

/** Returns the text that stores it; empty if all is as by default. */
export function tuningText(values: TuningValues): string {
  return writeProperties(Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)])));
}
