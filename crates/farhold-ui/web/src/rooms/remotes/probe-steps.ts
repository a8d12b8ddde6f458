// How the steps of a probe are told: one by one what was looked at, together what was not.

import type { Data } from "../../api/client";
import type { Tone } from "../../parts/state";

export type Report = Data<"post", "/farhold/remotes/probe">;
export type Step = Report["steps"][number];

export const TONES: Record<Step["state"], Tone> = { ok: "good", warning: "warning", failed: "bad", skipped: "quiet" };

/** Returns the steps that were taken, and for each reason the steps that were not. */
export function sorted(steps: readonly Step[]): { taken: Step[]; skipped: Map<string, Step["step"][]> } {
  const skipped = new Map<string, Step["step"][]>();
  for (const step of steps) {
    if (step.state === "skipped") skipped.set(step.text, [...(skipped.get(step.text) ?? []), step.step]);
  }
  return { taken: steps.filter((step) => step.state !== "skipped"), skipped };
}

/**
 * Returns the fingerprint that could be taken over: of a certificate that no authority vouches for and that is not the
 * one we expect.
 */
export function newFingerprint(report: Report, expected: string | undefined): string | undefined {
  const { certificate } = report;
  if (!certificate || certificate["is-trusted"] || certificate.fingerprint === expected) return undefined;
  return certificate.fingerprint;
}
