// Privileges in words.

import { texts } from "../../texts";

/** Lists privileges that somebody has at a path; those that do not count below it are marked. */
export function sayPrivileges(privileges: Readonly<Record<string, boolean>>): string {
  return Object.entries(privileges)
    .map(([name, propagates]) => (propagates ? name : texts.access.check.onlyHere(name)))
    .sort()
    .join(", ");
}
