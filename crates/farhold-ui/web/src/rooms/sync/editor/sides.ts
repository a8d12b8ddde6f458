// The two sides of a job that is being edited, and what is known of them: from a scan of the remote, or from here.

import { useRead } from "../../../api/hooks";
import { useDatastores } from "../../../api/server";
import type { SyncValues } from "./values";

/** A datastore here, or on a remote. */
export interface Side {
  remote?: string;
  store: string;
  /** Where the job starts. */
  ns: string;
}

/** Returns the side that is not the job's own datastore. */
export function otherOf(values: SyncValues): Side {
  const side = { store: values["remote-store"].trim(), ns: values["remote-ns"].trim() };
  return values.kind === "local" ? side : { ...side, remote: values.remote };
}

/** Returns where the snapshots come from. */
export const sourceOf = (values: SyncValues): Side =>
  values.kind === "push" ? { store: values.store, ns: values.ns.trim() } : otherOf(values);

/** The datastores of a remote; with an absent one, those of this server. */
export function useStoresOf(remote: string | undefined) {
  const here = useDatastores({ enabled: remote === undefined });
  const there = useRead(
    "/config/remote/{name}/scan",
    { params: { path: { name: remote ?? "" } } },
    { enabled: remote !== undefined && remote !== "" },
  );
  return remote === undefined ? here : there;
}

/** Whether a side can be asked: its datastore is one of those that are there. */
function useIsKnown({ remote, store }: Side): boolean {
  const stores = useStoresOf(remote);
  return store !== "" && (stores.data?.some((one) => one.store === store) ?? false);
}

/** The namespaces of a side. */
export function useNamespacesOf(side: Side) {
  const isKnown = useIsKnown(side);
  const { remote = "", store } = side;
  const isHere = side.remote === undefined;
  const here = useRead(
    "/admin/datastore/{store}/namespace",
    { params: { path: { store } } },
    { enabled: isHere && isKnown },
  );
  const there = useRead(
    "/config/remote/{name}/scan/{store}/namespaces",
    { params: { path: { name: remote, store } } },
    { enabled: !isHere && isKnown },
  );
  return isHere ? here : there;
}

/** The groups in one namespace of a side. */
export function useGroupsOf(side: Side, ns: string) {
  const isKnown = useIsKnown(side);
  const { remote = "", store } = side;
  const isHere = side.remote === undefined;
  const here = useRead(
    "/admin/datastore/{store}/groups",
    { params: { path: { store }, query: ns ? { ns } : {} } },
    { enabled: isHere && isKnown },
  );
  const there = useRead(
    "/config/remote/{name}/scan/{store}/groups",
    { params: { path: { name: remote, store }, query: ns ? { namespace: ns } : {} } },
    { enabled: !isHere && isKnown },
  );
  return isHere ? here : there;
}
