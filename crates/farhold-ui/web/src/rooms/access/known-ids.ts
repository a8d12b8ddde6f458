// The IDs of all users and API tokens, if the user may see them all.

import { usePrivileges } from "../../api/server";
import { authIdsOf, useUsers } from "./data";

/** Returns all IDs; `undefined` as long as, or if, they are not all known. */
export function useAllAuthIds(): string[] | undefined {
  const users = useUsers();
  const may = usePrivileges();
  return users.data && may("/access/users", "Sys.Audit") ? authIdsOf(users.data.data) : undefined;
}
