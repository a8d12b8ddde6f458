// The state of the host, for several parts of the dashboard.

import { useRead } from "../../api/hooks";
import { CALM_SECONDS, NODE, usePrivileges } from "../../api/server";

/** The state of the host. Whoever may not see it does not ask for it. */
export function useHost() {
  const isAllowed = usePrivileges()("/system/status", "Sys.Audit");
  return useRead(
    "/nodes/{node}/status",
    { params: { path: { node: NODE } } },
    { every: CALM_SECONDS, enabled: isAllowed },
  );
}
