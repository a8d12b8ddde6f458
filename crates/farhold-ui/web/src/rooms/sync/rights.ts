// What the user needs for which job, only to hide what would be refused anyway. Source: docs/spec/sync.md 3.2.

import { below, pathOfStore } from "../../format/acl-path";
import type { SyncJob } from "./job-row";

type Can = (path: string, privilege: string) => boolean;

/** Whether the user may change and run a job, as far as that can be told here. */
export function mayChange(can: Can, job: SyncJob): boolean {
  const local = pathOfStore(job.store, job.ns);
  if (job["sync-direction"] === "push") {
    const target = below(`/remote/${job.remote ?? ""}/${job["remote-store"]}`, job["remote-ns"]);
    return can(target, "Remote.DatastoreBackup") && (can(local, "Datastore.Read") || can(local, "Datastore.Backup"));
  }
  if (!can(local, "Datastore.Backup")) return false;
  return job.remote === undefined || can(`/remote/${job.remote}/${job["remote-store"]}`, "Remote.Read");
}

type Permissions = Readonly<Record<string, Readonly<Record<string, boolean>>>>;

/** Whether the user may push to any remote; what is granted is listed by path. */
export function mayPush(permissions: Permissions | undefined): boolean {
  return Object.entries(permissions ?? {}).some(
    ([path, privileges]) => (path === "/" || path.startsWith("/remote")) && "Remote.DatastoreBackup" in privileges,
  );
}

/** Whether the user may have any job on one of these datastores: write into it, or push what may be read. */
export function mayAdd(can: Can, permissions: Permissions | undefined, stores: readonly string[]): boolean {
  const isPushing = mayPush(permissions);
  return stores.some((store) => {
    const path = pathOfStore(store);
    if (!can(path, "Datastore.Audit")) return false;
    return can(path, "Datastore.Backup") || (isPushing && can(path, "Datastore.Read"));
  });
}
