// What stands in the name of a task. Source: docs/spec/schedules-and-tasks.md 6.

export interface Upid {
  upid: string;
  node: string;
  started: number;
  type: string;
  /** What the task works on, decoded; empty if on nothing in particular. */
  id: string;
  user: string;
}

const UPID =
  /^UPID:([^:/]+):[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8,16}:([0-9A-Fa-f]{8}):([^:/\s]+):([^:/\s]*):([^:/\s]+):$/;

/** Returns the parts of a UPID; `undefined` if it is none. */
export function parseUpid(text: string): Upid | undefined {
  const found = UPID.exec(text);
  if (!found) return undefined;
  const [, node = "", started = "0", type = "", id = "", user = ""] = found;
  return { upid: text, node, started: Number.parseInt(started, 16), type, id: unescape(id), user };
}

/** A slash is written as a dash, and every other special byte as `\\xNN`. */
function unescape(text: string): string {
  const bytes: number[] = [];
  for (let index = 0; index < text.length; index += 1) {
    const code = /^\\x([0-9a-fA-F]{2})/.exec(text.slice(index, index + 4));
    if (code?.[1]) {
      bytes.push(Number.parseInt(code[1], 16));
      index += 3;
    } else if (text[index] === "-") {
      bytes.push("/".charCodeAt(0));
    } else {
      bytes.push(...new TextEncoder().encode(text[index]));
    }
  }
  return new TextDecoder().decode(new Uint8Array(bytes));
}
