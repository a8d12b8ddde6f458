// States as a word with a sign: never by colour alone.

import { Badge, type MantineColor } from "@mantine/core";
import type { ReactNode } from "react";

export type Tone = "good" | "warning" | "bad" | "running" | "quiet";

const LOOK: Record<Tone, { color: MantineColor; sign: string }> = {
  good: { color: "teal", sign: "✓" },
  warning: { color: "yellow", sign: "!" },
  bad: { color: "red", sign: "✕" },
  running: { color: "blue", sign: "▸" },
  quiet: { color: "gray", sign: "·" },
};

/** A state, such as `✓ OK`. */
export function State({ tone, children, title }: { tone: Tone; children: ReactNode; title?: string }) {
  const { color, sign } = LOOK[tone];
  return (
    <Badge
      color={color}
      variant="light"
      radius="sm"
      tt="none"
      fw={600}
      c="var(--mantine-color-text)"
      miw="max-content"
      leftSection={<span aria-hidden>{sign}</span>}
      {...(title ? { title } : {})}
    >
      {children}
    </Badge>
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
