// Who may do what on one datastore.

import { Text } from "@mantine/core";
import { usePrivileges } from "../../api/server";
import { Loaded } from "../../parts/failure";
import { Panel } from "../../parts/page";
import { texts } from "../../texts";
import { pathOfStore } from "../../format/acl-path";
import { entriesAround } from "../access/acl";
import { AclTable } from "../access/acl-table";
import { AccessCheck } from "../access/check";
import { useAcl } from "../access/data";
import { useAllAuthIds } from "../access/known-ids";
import { OwnPrivileges } from "../access/own-privileges";

const words = texts.access;

export default function Permissions({ store }: { store: string }) {
  const acl = useAcl();
  const authIds = useAllAuthIds();
  const may = usePrivileges();
  const path = pathOfStore(store);
  return (
    <>
      <Loaded query={acl}>
        {({ data, digest }) => {
          const { here, above } = entriesAround(data, path);
          return (
            <>
              <Panel title={words.here}>
                <AclTable
                  label={words.tableHere(store)}
                  entries={here}
                  digest={digest}
                  authIds={authIds}
                  empty={words.noneHere}
                  path={path}
                />
              </Panel>
              {may("/access/acl", "Sys.Audit") && (
                <Panel title={words.inherited}>
                  <Text size="sm" c="dimmed" mb="xs">
                    {words.inheritedHint}
                  </Text>
                  <AclTable
                    label={words.tableAbove(store)}
                    entries={above}
                    authIds={authIds}
                    empty={words.noInherited}
                  />
                </Panel>
              )}
            </>
          );
        }}
      </Loaded>
      {may("/access", "Sys.Audit") && (
        <Panel title={texts.permissions.whoHere}>
          <AccessCheck within={path} />
        </Panel>
      )}
      <Panel title={words.ownHere}>
        <OwnPrivileges path={path} />
      </Panel>
    </>
  );
}
