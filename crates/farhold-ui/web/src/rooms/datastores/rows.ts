// What the list of datastores shows, put together from the calls that know parts of it.

import type { Item } from "../../api/client";
import { parseMaintenance } from "../options/properties";

type Store = Item<"/admin/datastore">;
type Usage = Item<"/status/datastore-usage">;
type Config = Item<"/config/datastore">;

export interface Row {
  store: string;
  comment: string;
  mount: Store["mount-status"];
  /** Type of its maintenance mode; empty if there is none. */
  maintenance: string;
  message: string;
  error?: string | undefined;
  used?: number | undefined;
  total?: number | undefined;
  available?: number | undefined;
  /** When it will be full, as far as that can be told; 0 if it stays as it is. */
  full?: number | undefined;
  path?: string | undefined;
  gcOnUnmount: boolean;
}

/** Joins the lists by name. `usage` and `configs` may lack datastores that the user may not look into. */
export function rowsOf(stores: readonly Store[], usage: readonly Usage[], configs: readonly Config[]): Row[] {
  const usages = new Map(usage.map((entry) => [entry.store, entry]));
  const known = new Map(configs.map((entry) => [entry.name, entry]));
  return stores.map((entry) => {
    const used = usages.get(entry.store);
    const config = known.get(entry.store);
    const { type, message } = parseMaintenance(entry.maintenance);
    return {
      store: entry.store,
      comment: entry.comment ?? "",
      mount: entry["mount-status"],
      maintenance: type,
      message,
      error: used?.error,
      used: used?.used,
      total: used?.total,
      available: used?.avail,
      full: used?.["estimated-full-date"],
      path: config?.path,
      gcOnUnmount: config?.["gc-on-unmount"] ?? false,
    };
  });
}
