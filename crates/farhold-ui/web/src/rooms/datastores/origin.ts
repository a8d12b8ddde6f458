// Where a repair takes copies from, as the API has it.

/** Stands for this server among the names of remotes; none can be called so. */
export const LOCAL = ":";

/** Returns `remote:datastore`, or `:datastore` for one of this server. */
export function originOf(remote: string, store: string): string {
  return remote === LOCAL ? `:${store.trim()}` : `${remote}:${store.trim()}`;
}
