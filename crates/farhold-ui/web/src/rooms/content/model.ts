// Groups and snapshots of one namespace, joined into what the screen shows.

import type { Item } from "../../api/client";
import { snapshotTime } from "../../format/time";

export type ListedGroup = Item<"/admin/datastore/{store}/groups">;
export type ListedSnapshot = Item<"/admin/datastore/{store}/snapshots">;
export type File = ListedSnapshot["files"][number];
export type BackupType = ListedGroup["backup-type"];

/** How the files of a snapshot are kept; `mixed` if not all alike. */
export type Crypt = "none" | "sign-only" | "encrypt" | "mixed";
export type Verification = "ok" | "failed" | "none";

export interface Snapshot {
  kind: "snapshot";
  /** Its name, such as `vm/100/2026-01-01T10:00:00Z`. */
  name: string;
  /** Name of its group. */
  group: string;
  type: BackupType;
  id: string;
  time: number;
  /** First line of the notes. */
  comment: string;
  owner: string;
  verification: Verification;
  /** The task that verified it. */
  upid?: string;
  crypt: Crypt;
  /** Key that encrypted or signed it. */
  fingerprint?: string;
  files: readonly File[];
  /** Absent while there is no readable manifest: the backup is in progress, or was broken off. */
  size?: number;
  isProtected: boolean;
}

export interface Group {
  kind: "group";
  /** Its name, such as `vm/100`. */
  name: string;
  type: BackupType;
  id: string;
  comment: string;
  owner: string;
  /** Time of the newest finished snapshot; 0 if there is none. */
  last: number;
  count: number;
  /** Newest first; empty as long as they are not known. */
  snapshots: readonly Snapshot[];
}

const MANIFEST = "index.json.blob";

/** Returns how the files that hold data are kept. */
export function cryptOf(files: readonly File[]): Crypt {
  const modes = new Set(
    files.flatMap((file) => (file.filename === MANIFEST || !file["crypt-mode"] ? [] : [file["crypt-mode"]])),
  );
  const [first, ...others] = modes;
  if (first === undefined) return "none";
  return others.length === 0 ? first : "mixed";
}

function snapshotOf(listed: ListedSnapshot): Snapshot {
  const group = `${listed["backup-type"]}/${listed["backup-id"]}`;
  return {
    kind: "snapshot",
    name: `${group}/${snapshotTime(listed["backup-time"])}`,
    group,
    type: listed["backup-type"],
    id: listed["backup-id"],
    time: listed["backup-time"],
    comment: listed.comment ?? "",
    owner: listed.owner ?? "",
    verification: listed.verification?.state ?? "none",
    crypt: cryptOf(listed.files),
    files: listed.files,
    isProtected: listed.protected,
    ...(listed.verification ? { upid: listed.verification.upid } : {}),
    ...(listed.fingerprint === undefined ? {} : { fingerprint: listed.fingerprint }),
    ...(listed.size === undefined ? {} : { size: listed.size }),
  };
}

/**
 * Joins both lists. Either may be absent, since it is still on its way or was refused; a group that only one of them
 * knows was made or removed in between.
 */
export function joined(
  groups: readonly ListedGroup[] | undefined,
  snapshots: readonly ListedSnapshot[] | undefined,
): readonly Group[] {
  const byGroup = new Map<string, Snapshot[]>();
  for (const listed of snapshots ?? []) {
    const snapshot = snapshotOf(listed);
    const others = byGroup.get(snapshot.group);
    if (others) others.push(snapshot);
    else byGroup.set(snapshot.group, [snapshot]);
  }
  for (const list of byGroup.values()) list.sort((a, b) => b.time - a.time);
  const known = (groups ?? []).map((listed): Group => {
    const name = `${listed["backup-type"]}/${listed["backup-id"]}`;
    const own = byGroup.get(name) ?? [];
    byGroup.delete(name);
    return {
      kind: "group",
      name,
      type: listed["backup-type"],
      id: listed["backup-id"],
      comment: listed.comment ?? "",
      owner: listed.owner ?? "",
      last: listed["last-backup"],
      count: snapshots ? own.length : listed["backup-count"],
      snapshots: own,
    };
  });
  const others = [...byGroup].map(([name, own]): Group => {
    const [newest] = own as [Snapshot, ...Snapshot[]];
    const { type, id, owner } = newest;
    const last = own.find((snapshot) => snapshot.size !== undefined)?.time ?? 0;
    return { kind: "group", name, type, id, comment: "", owner, last, count: own.length, snapshots: own };
  });
  return [...known, ...others];
}

/** Returns what is worst about the snapshots: one that failed, one that was never verified. */
export function verificationOf(snapshots: readonly Snapshot[]): Verification {
  if (snapshots.some((snapshot) => snapshot.verification === "failed")) return "failed";
  if (snapshots.length === 0 || snapshots.some((snapshot) => snapshot.verification === "none")) return "none";
  return "ok";
}

/** Returns how the snapshots are kept; `undefined` if there are none. */
export function groupCrypt(snapshots: readonly Snapshot[]): Crypt | undefined {
  const [first] = snapshots;
  if (!first) return undefined;
  return snapshots.every((snapshot) => snapshot.crypt === first.crypt) ? first.crypt : "mixed";
}

/** Parameters of the API that name a group. */
export const groupParameters = (group: { type: BackupType; id: string }) => ({
  "backup-type": group.type,
  "backup-id": group.id,
});

/** Parameters of the API that name a snapshot. */
export const snapshotParameters = (snapshot: { type: BackupType; id: string; time: number }) => ({
  ...groupParameters(snapshot),
  "backup-time": snapshot.time,
});

/** The parameter that names a namespace, which the root has none of. */
export const inNamespace = (ns: string): { ns?: string } => (ns === "" ? {} : { ns });
