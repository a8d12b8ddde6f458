// Paths of the access control list. Source: docs/spec/config-and-access.md 3.

/** Returns the path of a namespace below `path`; of the root that is `path` itself. */
export function below(path: string, ns: string | undefined): string {
  return ns ? `${path}/${ns}` : path;
}

/** Returns the path of a datastore, or of a namespace in it. */
export function pathOfStore(store: string, ns?: string): string {
  return below(`/datastore/${store}`, ns);
}
