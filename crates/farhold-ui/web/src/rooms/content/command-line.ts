// What to write on the command line of the backup client.

import type { File } from "./model";

/** The port that the client takes if none is given. */
const DEFAULT_PORT = "8007";

/** Returns the repository as the client wants it: `user@realm@host:port:store`. */
export function repositoryOf(user: string, { hostname, port }: { hostname: string; port: string }, store: string) {
  // A browser leaves out the port of HTTPS; for the client that is another one than its default.
  const at = port === "" ? "443" : port;
  return `${user}@${hostname}${at === DEFAULT_PORT ? "" : `:${at}`}:${store}`;
}

/** Returns a command that restores the first file with content; `undefined` if there is none. */
export function restoreCommand(
  repository: string,
  ns: string,
  snapshot: string,
  files: readonly File[],
): string | undefined {
  const order = [".img.fidx", ".pxar.didx", ".ppxar.didx", ".blob"];
  const wanted = files
    .map((file) => file.filename)
    .filter((name) => name !== "index.json.blob" && name !== "client.log.blob")
    .sort((a, b) => order.findIndex((end) => a.endsWith(end)) - order.findIndex((end) => b.endsWith(end)))
    .find((name) => order.some((end) => name.endsWith(end)));
  if (wanted === undefined) return undefined;
  const archive = wanted.replace(/\.(didx|fidx|blob)$/, "").replace(/\.ppxar$/, ".pxar");
  const target = archive.endsWith(".pxar") ? `./${archive.replace(/\.pxar$/, "")}` : `./${archive}`;
  const place = ns === "" ? "" : ` --ns ${ns}`;
  return `proxmox-backup-client restore ${snapshot} ${archive} ${target} --repository ${repository}${place}`;
}
