// Values with several parts in one text, such as `chunk-order=none,sync-level=file`. Source: docs/spec/rest-api.md 2.6.

export type Properties = Record<string, string>;

/** Returns the parts by name; one without a name stands under `defaultKey`. */
export function parseProperties(text: string | undefined, defaultKey?: string): Properties {
  const found: Properties = {};
  for (const part of partsOf(text ?? "")) {
    const at = part.search(/[="]/);
    const isNamed = at > 0 && part[at] === "=";
    const key = isNamed ? part.slice(0, at) : defaultKey;
    if (key !== undefined && part !== "") found[key] = unquoted(isNamed ? part.slice(at + 1) : part);
  }
  return found;
}

/** Returns the parts as one text, without those that are empty; the default key's value comes first and has no name. */
export function writeProperties(values: Properties, defaultKey?: string): string {
  const entries = Object.entries(values).filter(([, value]) => value !== "");
  const isDefault = ([key]: [string, string]) => key === defaultKey;
  const first = entries.filter(isDefault).map(([, value]) => quoted(value));
  const others = entries.filter((entry) => !isDefault(entry)).map(([key, value]) => `${key}=${quoted(value)}`);
  return [...first, ...others].join(",");
}

function partsOf(text: string): string[] {
  const parts: string[] = [];
  let part = "";
  let isQuoted = false;
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index] ?? "";
    if (isQuoted && character === "\\") {
      part += character + (text[index + 1] ?? "");
      index += 1;
      continue;
    }
    if (character === '"') isQuoted = !isQuoted;
    if (character === "," && !isQuoted) {
      parts.push(part);
      part = "";
    } else {
      part += character;
    }
  }
  return [...parts, part];
}

function unquoted(text: string): string {
  if (!/^".*"$/s.test(text)) return text;
  return text.slice(1, -1).replace(/\\(.)/gs, (_, escaped: string) => (escaped === "n" ? "\n" : escaped));
}

function quoted(text: string): string {
  if (!/["\\\n,]/.test(text)) return text;
  return `"${text.replace(/["\\]/g, "\\$&").replace(/\n/g, "\\n")}"`;
}

export interface Maintenance {
  /** Empty if there is none. */
  type: string;
  message: string;
}

/** Returns the maintenance mode; its message is stored with escapes as in addresses. */
export function parseMaintenance(text: string | undefined): Maintenance {
  const { type = "", message = "" } = parseProperties(text, "type");
  return { type, message: decoded(message) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Returns the text of a maintenance mode. What would end the value, or begin an escape, is escaped. */
export function writeMaintenance({ type, message }: Maintenance): string {
  if (type === "") return "";
  const text = message.trim().replace(/[%,"\\]/g, (character) => encodeURIComponent(character));
  return text === "" ? type : `${type},message=${text}`;
}
