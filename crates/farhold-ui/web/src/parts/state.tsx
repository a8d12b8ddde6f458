// States as a word with a sign: never by colour alone.

import type { ReactNode } from "react";
import styles from "./state.module.css";

export type Tone = "good" | "warning" | "bad" | "running" | "quiet";

const SIGNS: Record<Tone, string> = { good: "✓", warning: "!", bad: "✕", running: "▸", quiet: "·" };

/** A state, such as `✓ OK`. */
export function State({ tone, children, title }: { tone: Tone; children: ReactNode; title?: string }) {
  return (
    <span className={styles.state} data-tone={tone} title={title}>
      <span aria-hidden>{`${SIGNS[tone]}\u00a0`}</span>
      {children}
    </span>
  );
}

/** Returns how a task's result is to be taken; that of a task that still runs is absent. */
export function toneOfResult(result: string | null | undefined): Tone {
  if (result === undefined || result === null) return "running";
  if (result === "OK") return "good";
  if (result.startsWith("WARNINGS")) return "warning";
  if (result === "unknown") return "quiet";
  return "bad";
}
