// The whole access control list.

import { texts } from "../../texts";
import { Loaded } from "../../parts/failure";
import { AclTable } from "./acl-table";
import { useAcl } from "./data";
import { useAllAuthIds } from "./known-ids";

export function Permissions() {
  const acl = useAcl();
  const authIds = useAllAuthIds();
  return (
    <Loaded query={acl}>
      {({ data, digest }) => (
        <AclTable
          label={texts.access.permissions}
          entries={data}
          digest={digest}
          authIds={authIds}
          empty={texts.access.noPermissions}
          path="/"
        />
      )}
    </Loaded>
  );
}
