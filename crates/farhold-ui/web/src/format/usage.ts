// How full a datastore is, when it will be full, and how far its use is restricted.

import { span } from "./time";

const YEAR_SECONDS = 365.25 * 86400;
/** Estimates beyond that say no more than that there is time. */
const FAR_SECONDS = 10 * YEAR_SECONDS;

export interface FullWords {
  unknown: string;
  steady: string;
  shrinking: string;
  far: string;
  within: (span: string) => string;
  years: (count: number) => string;
}

/**
 * Returns when a datastore will be full. The server says 0 if usage stays as it is, a time in the past if it shrinks, and
 * nothing if it has not seen enough of it.
 */
export function estimatedFull(date: number | null | undefined, now: number, words: FullWords): string {
  if (date === null || date === undefined) return words.unknown;
  if (date === 0) return words.steady;
  if (date < now) return words.shrinking;
  if (date - now > FAR_SECONDS) return words.far;
  if (date - now >= 2 * YEAR_SECONDS) return words.years(Math.round((date - now) / YEAR_SECONDS));
  return words.within(span(date - now));
}

/** Returns the used share from 0 to 1; `undefined` if the size is not known. */
export function usedShare(used: number | undefined, total: number | undefined): number | undefined {
  if (used === undefined || !total) return undefined;
  return Math.min(1, Math.max(0, used / total));
}

export type Fullness = "fine" | "high" | "critical";

/** Returns whether somebody should care how full it is. */
export function fullnessOf(share: number): Fullness {
  if (share >= 0.9) return "critical";
  return share >= 0.8 ? "high" : "fine";
}

export interface Maintenance {
  type: string;
  message?: string;
}

/** Understands a maintenance mode such as `offline,message="disk swap"`; `undefined` if there is none. */
export function maintenanceOf(text: string | null | undefined): Maintenance | undefined {
  if (!text) return undefined;
  const [, type = text, rest = ""] = /^(?:type=)?([^,]*),?(.*)$/s.exec(text) ?? [];
  const quoted = /^message="(.*)"$/s
    .exec(rest)?.[1]
    ?.replace(/\\(.)/gs, (_, one: string) => (one === "n" ? "\n" : one));
  const message = quoted ?? /^message=(.*)$/s.exec(rest)?.[1];
  return message ? { type, message: decoded(message) } : { type };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
