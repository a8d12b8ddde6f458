// Headers and secrets of webhooks: in the API `name=…,value=<base64>`, in forms plain text.

import { fromBase64, toBase64 } from "./base64";

export interface NamedValue {
  name: string;
  value: string;
  /** Whether the server keeps a value that it does not show. */
  isStored: boolean;
}

const PROPERTY = /(?:^|,)(name|value)=("(?:[^"\\]|\\.)*"|[^,]*)/g;

const unquoted = (text: string): string =>
  text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, (_, sign: string) => (sign === "n" ? "\n" : sign)) : text;

const quoted = (text: string): string =>
  /[",\\]/.test(text) ? `"${text.replace(/["\\]/g, (sign) => `\\${sign}`)}"` : text;

/** Understands one of them as answers have it. Without a value it is a secret that the server keeps. */
export function parseNamedValue(text: string): NamedValue {
  const found: Record<string, string> = {};
  for (const [, key, value] of text.matchAll(PROPERTY)) if (key !== undefined) found[key] = unquoted(value ?? "");
  const { name = "", value } = found;
  return { name, value: value === undefined ? "" : fromBase64(value), isStored: value === undefined };
}

/** Returns one of them as calls have it. A stored secret that was not typed anew goes by its name: it stays. */
export function formatNamedValue({ name, value, isStored }: NamedValue): string {
  const title = `name=${quoted(name.trim())}`;
  return isStored && value === "" ? title : `${title},value=${toBase64(value)}`;
}

export type Flaw = { what: "nameless" } | { what: "valueless" | "twice"; name: string };

/** Returns what is wrong with a list of them. */
export function flawOf(values: readonly NamedValue[], needsValue: boolean): Flaw | undefined {
  const seen = new Set<string>();
  for (const { name: typed, value, isStored } of values) {
    const name = typed.trim();
    if (name === "") return { what: "nameless" };
    if (seen.has(name)) return { what: "twice", name };
    if (needsValue && value === "" && !isStored) return { what: "valueless", name };
    seen.add(name);
  }
  return undefined;
}
