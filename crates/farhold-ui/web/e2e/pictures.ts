/** After the tests: pictures that were drawn anew become small, and those that the documents show follow them. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import type { FullConfig } from "@playwright/test";

import { withPalette } from "./png";

export const PICTURES = path.join(import.meta.dirname, "pictures");
export const DOCUMENTS = path.resolve(import.meta.dirname, "../../../../docs/screenshots");

/** Pictures of the README and of `docs/`, eight at most. */
export const SHOWN = [
  "dashboard-desktop-light",
  "jobs-desktop-light",
  "sync-editor-desktop-light",
  "plan-desktop-light",
  "sync-runs-desktop-light",
  "content-desktop-dark",
  "task-desktop-dark",
  "dashboard-phone-dark",
];

export default function afterwards(config: FullConfig): void {
  if (config.updateSnapshots !== "all" && config.updateSnapshots !== "changed") return;
  mkdirSync(DOCUMENTS, { recursive: true });
  for (const name of readdirSync(PICTURES)) {
    const file = path.join(PICTURES, name);
    const png = readFileSync(file);
    const small = withPalette(png);
    if (small !== png) writeFileSync(file, small);
    if (SHOWN.includes(path.parse(name).name)) copyFileSync(file, path.join(DOCUMENTS, name));
  }
}
