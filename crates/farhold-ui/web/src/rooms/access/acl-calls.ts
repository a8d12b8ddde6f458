// Changes of the access control list.

import { call } from "../../api/client";
import type { Entry } from "./data";

/** Removes entries, one call for each: the API takes no more at once. */
export async function removeEntries(entries: readonly Entry[]): Promise<void> {
  for (const { path, ugid, roleid } of entries) {
    await call("put", "/access/acl", { body: { path, "auth-id": ugid, role: roleid, delete: true } });
  }
}
