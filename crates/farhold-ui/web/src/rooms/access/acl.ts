// Which entries of the access control list count where.

import { pathOfStore } from "../../format/acl-path";
import type { Entry } from "./data";

/** Returns whether `path` is `top` or below it. */
export function isWithin(path: string, top: string): boolean {
  return top === "/" || path === top || path.startsWith(`${top}/`);
}

/** Splits off what concerns a path: entries at or below it, and those above it that propagate down to it. */
export function entriesAround(entries: readonly Entry[], path: string): { here: Entry[]; above: Entry[] } {
  return {
    here: entries.filter((entry) => isWithin(entry.path, path)),
    above: entries.filter((entry) => entry.path !== path && isWithin(path, entry.path) && entry.propagate),
  };
}

/** Returns what names an entry. A user has a role at a path once. */
export function keyOf({ path, ugid, roleid }: Entry): string {
  return [path, ugid, roleid].join(" ");
}

/** Places that permissions are often given for, whatever there is on a server. */
const PLACES = [
  "/",
  "/access",
  "/access/acl",
  "/access/domains",
  "/access/users",
  "/datastore",
  "/remote",
  "/system",
  "/system/certificates",
  "/system/encryption-keys",
  "/system/notifications",
  "/system/tasks",
];

interface Known {
  stores: readonly string[];
  remotes: readonly string[];
  entries: readonly Entry[];
}

/** Returns the paths to choose from: the usual places, those of what there is, and those that are in use. */
export function knownPaths({ stores, remotes, entries }: Known): string[] {
  const paths = new Set(PLACES);
  for (const store of stores) paths.add(pathOfStore(store));
  for (const remote of remotes) paths.add(`/remote/${remote}`);
  for (const entry of entries) paths.add(entry.path);
  return [...paths].sort();
}
