// Key files of backup clients and servers: whether a text is one, and how one is written.

import type { Data } from "../../api/client";
import { texts } from "../../texts";

/** A key as the server hands it out, once. */
export type NewKey = Data<"post", "/config/encryption-keys">;

export interface KeyFile {
  /** What is wrong with it. */
  fault?: string;
  fingerprint?: string;
}

/** Looks at the text of a key file. The secret in it is not kept. */
export function keyFileOf(text: string): KeyFile {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { fault: texts.keys.noJson };
  }
  if (typeof parsed !== "object" || parsed === null) return { fault: texts.keys.noKey };
  const { kdf, data, fingerprint } = parsed as Record<string, unknown>;
  if (typeof data !== "string") return { fault: texts.keys.noKey };
  if (typeof kdf === "object" && kdf !== null) return { fault: texts.keys.isProtected };
  return typeof fingerprint === "string" ? { fingerprint } : {};
}

/** Returns the text of the key's file. */
export const keyFileText = (key: NewKey): string => `${JSON.stringify(key, undefined, 2)}\n`;
