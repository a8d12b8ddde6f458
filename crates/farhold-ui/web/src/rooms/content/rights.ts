// What the user may do with the backups of a namespace. Only to disable what would be refused: the server decides.

import { usePrivileges } from "../../api/server";
import { useUser } from "../../api/session";
import { pathOfStore } from "../../format/acl-path";
import { owns } from "./owner";

export interface Rights {
  /** Notes, protection, owner. */
  mayModify: (owner: string) => boolean;
  mayRemove: (owner: string) => boolean;
  mayVerify: (owner: string) => boolean;
  mayRead: (owner: string) => boolean;
  /** Prune or verify the namespace itself; of some only own groups are touched. */
  mayPruneNamespace: boolean;
  mayVerifyNamespace: boolean;
  /** Make, move and remove namespaces below a namespace. */
  mayManage: (parent: string) => boolean;
}

export function useRights(store: string, ns: string): Rights {
  const may = usePrivileges();
  const user = useUser();
  const here = pathOfStore(store, ns);
  const either = (full: string, part: string) => (owner: string) =>
    may(here, full) || (may(here, part) && owns(user, owner));
  return {
    mayModify: either("Datastore.Modify", "Datastore.Backup"),
    mayRemove: either("Datastore.Modify", "Datastore.Prune"),
    mayVerify: either("Datastore.Verify", "Datastore.Backup"),
    mayRead: either("Datastore.Read", "Datastore.Backup"),
    mayPruneNamespace: may(here, "Datastore.Modify") || may(here, "Datastore.Prune"),
    mayVerifyNamespace: may(here, "Datastore.Verify") || may(here, "Datastore.Backup"),
    mayManage: (parent) => may(pathOfStore(store, parent), "Datastore.Modify"),
  };
}
