/** Three datastores: a large one in daily use, one for the long run, and a disk that is on a shelf. */
import type { paths } from "../../src/api/schema";
import type { Answers } from "./api";
import { at, DAY, HOUR, NOW, numbers, upid } from "./time";

const GIB = 2 ** 30;
const TIB = 2 ** 40;

type Snapshot =
  paths["/admin/datastore/{store}/snapshots"]["get"]["responses"]["200"]["content"]["application/json"]["data"][number];
type Group =
  paths["/admin/datastore/{store}/groups"]["get"]["responses"]["200"]["content"]["application/json"]["data"][number];
type Garbage = paths["/admin/gc"]["get"]["responses"]["200"]["content"]["application/json"]["data"][number];

export const STORES = ["tank", "longterm", "shelf"] as const;

function garbage(store: string, diskBytes: number, indexBytes: number): Garbage {
  return {
    store,
    schedule: "sat 04:00",
    "next-run": at(4, 0, -2),
    "last-run-endtime": at(5, 12, 5),
    "last-run-state": "OK",
    duration: 72 * 60,
    "disk-bytes": diskBytes,
    "disk-chunks": Math.round(diskBytes / (2 * 2 ** 20)),
    "index-data-bytes": indexBytes,
    "index-file-count": 412,
    "pending-bytes": 3 * GIB,
    "pending-chunks": 1_420,
    "removed-bad": 0,
    "removed-bytes": 41 * GIB,
    "removed-chunks": 19_804,
    "still-bad": 0,
    upid: upid("garbage_collection", store, at(4, 0, 5)),
  };
}

const garbageOf: Record<string, Garbage> = {
  tank: garbage("tank", 6.2 * TIB, 87 * TIB),
  longterm: garbage("longterm", 2.1 * TIB, 31 * TIB),
};

const owners = ["backup@pbs!pve1", "backup@pbs!pve2"];

const machines: [Group["backup-type"], string, string, number][] = [
  ["vm", "100", "mail server", 64 * GIB],
  ["vm", "101", "database, primary", 512 * GIB],
  ["vm", "102", "database, standby", 512 * GIB],
  ["vm", "110", "build machine", 128 * GIB],
  ["ct", "200", "reverse proxy", 8 * GIB],
  ["ct", "201", "name server", 4 * GIB],
  ["host", "fileserver", "home folders", 1.7 * TIB],
  ["host", "laptop-ada", "", 212 * GIB],
];

function snapshotsOf(index: number): Snapshot[] {
  const [type, id, comment, size] = machines[index]!;
  const random = numbers(index + 1);
  const isEncrypted = id === "laptop-ada";
  return Array.from({ length: 7 }, (_, age): Snapshot => {
    const archive = type === "host" ? "home.pxar.didx" : type === "ct" ? "root.pxar.didx" : "drive-scsi0.img.fidx";
    const crypt = isEncrypted ? "encrypt" : "none";
    const bytes = Math.round(size * (0.97 + random() * 0.03));
    const time = at(1, 5 * index, age);
    const snapshot: Snapshot = {
      "backup-type": type,
      "backup-id": id,
      "backup-time": time,
      comment: age === 0 ? comment : age === 3 && id === "101" ? "before the upgrade" : "",
      files: [
        { filename: archive, "crypt-mode": crypt, size: bytes },
        { filename: "index.json.blob", "crypt-mode": isEncrypted ? "sign-only" : "none", size: 1_012 },
      ],
      owner: owners[index % 2],
      protected: age === 3 && id === "101",
      size: bytes + 1_012,
    };
    if (isEncrypted) snapshot.fingerprint = `5a:0c:91:fe:33:${"7d:".repeat(26)}e4`;
    if (0 < age) {
      const isBad = id === "110" && age === 2;
      snapshot.verification = {
        state: isBad ? "failed" : "ok",
        upid: upid("verificationjob", "tank:v-weekly", at(6, 0)),
      };
    }
    return snapshot;
  });
}

const snapshots = machines.flatMap((_, index) => snapshotsOf(index));

const groups = machines.map(([type, id, comment], index): Group => {
  const newest = snapshots.find((one) => one["backup-type"] === type && one["backup-id"] === id)!;
  return {
    "backup-type": type,
    "backup-id": id,
    "backup-count": 7,
    "last-backup": newest["backup-time"],
    owner: owners[index % 2],
    comment,
    files: newest.files.map((file) => file.filename),
  };
});

/** Usage that grows by about a half per cent a day, with a fall at each garbage collection. */
function usage(share: number): (number | null)[] {
  const random = numbers(Math.round(share * 100));
  return Array.from(
    { length: 60 },
    (_, day) => share * (0.82 + day * 0.003 - (day % 7 === 0 ? 0.01 : 0) + random() * 0.004),
  );
}

const counts = {
  vm: { groups: 4, snapshots: 28 },
  ct: { groups: 2, snapshots: 14 },
  host: { groups: 2, snapshots: 14 },
  other: null,
};

export const datastores: Answers = {
  "/admin/datastore": {
    data: [
      {
        store: "longterm",
        comment: "kept for seven years",
        "backend-type": "filesystem",
        "mount-status": "nonremovable",
      },
      { store: "shelf", comment: "disk in the safe", "backend-type": "filesystem", "mount-status": "notmounted" },
      { store: "tank", comment: "daily backups", "backend-type": "filesystem", "mount-status": "nonremovable" },
    ],
  },
  "/config/datastore": {
    data: [
      { name: "tank", path: "/srv/tank", comment: "daily backups", "gc-schedule": "sat 04:00", "verify-new": true },
      { name: "longterm", path: "/srv/longterm", comment: "kept for seven years", "gc-schedule": "sat 04:00" },
      {
        name: "shelf",
        path: "vault",
        comment: "disk in the safe",
        "backing-device": "5e2f9d1c-7a34-4d8f-9b6c-0d3e8a1f4c22",
      },
    ],
    digest: "0".repeat(64),
  },
  "/config/datastore/{name}": ({ name }) => ({
    data: {
      name: name ?? "tank",
      path: `/srv/${name}`,
      comment: "daily backups",
      "gc-schedule": "sat 04:00",
      "notification-mode": "notification-system",
      "verify-new": true,
      tuning: "sync-level=filesystem",
    },
    digest: "0".repeat(64),
  }),
  "/status/datastore-usage": {
    data: [
      {
        store: "longterm",
        "backend-type": "filesystem",
        "mount-status": "nonremovable",
        total: 16 * TIB,
        used: 2.2 * TIB,
        avail: 13.8 * TIB,
        "estimated-full-date": NOW + 1_460 * DAY,
        "gc-status": garbageOf.longterm,
        history: usage(0.14),
        "history-start": NOW - 59 * DAY,
        "history-delta": DAY,
      },
      { store: "shelf", "backend-type": "filesystem", "mount-status": "notmounted" },
      {
        store: "tank",
        "backend-type": "filesystem",
        "mount-status": "nonremovable",
        total: 8 * TIB,
        used: 6.6 * TIB,
        avail: 1.4 * TIB,
        "estimated-full-date": NOW + 41 * DAY,
        "gc-status": garbageOf.tank,
        history: usage(0.825),
        "history-start": NOW - 59 * DAY,
        "history-delta": DAY,
      },
    ],
  },
  "/admin/datastore/{store}/status": ({ store }) => ({
    data: {
      "backend-type": "filesystem",
      total: 8 * TIB,
      used: 6.6 * TIB,
      avail: 1.4 * TIB,
      counts,
      "gc-status": garbageOf[store ?? ""] ?? garbageOf.tank,
    },
  }),
  "/admin/datastore/{store}/active-operations": { data: { read: 1, write: 2 } },
  "/admin/datastore/{store}/namespace": {
    data: [{ ns: "" }, { ns: "office" }, { ns: "office/archive" }, { ns: "site-b" }],
  },
  "/admin/datastore/{store}/groups": ({ ns }) => ({ data: ns ? groups.slice(4, 6) : groups }),
  "/admin/datastore/{store}/snapshots": (asked) => ({
    data: snapshots.filter(
      (one) =>
        (!asked["backup-type"] || one["backup-type"] === asked["backup-type"]) &&
        (!asked["backup-id"] || one["backup-id"] === asked["backup-id"]) &&
        (!asked.ns || groups.slice(4, 6).some((group) => group["backup-id"] === one["backup-id"])),
    ),
  }),
  "/admin/datastore/{store}/files": {
    data: [
      { filename: "drive-scsi0.img.fidx", "crypt-mode": "none", size: 64 * GIB },
      { filename: "qemu-server.conf.blob", "crypt-mode": "none", size: 412 },
      { filename: "index.json.blob", "crypt-mode": "none", size: 1_012 },
    ],
  },
  "/admin/datastore/{store}/notes": { data: "mail server\nmonthly copy" },
  "/admin/datastore/{store}/group-notes": { data: "mail server" },
  "/admin/datastore/{store}/protected": { data: false },
  "/admin/datastore/{store}/gc": ({ store }) => ({ data: garbageOf[store ?? ""] ?? garbageOf.tank! }),
  "/admin/gc": { data: Object.values(garbageOf) },
  "/admin/gc/{store}": ({ store }) => ({ data: [garbageOf[store ?? ""] ?? garbageOf.tank!] }),
  "/admin/datastore/{store}/rrd": () => {
    const random = numbers(7);
    return {
      data: Array.from({ length: 70 }, (_, row) => ({
        time: NOW - (NOW % HOUR) - (69 - row) * HOUR,
        total: 8 * TIB,
        used: Math.round(6.3 * TIB + row * 4 * GIB),
        available: Math.round(1.7 * TIB - row * 4 * GIB),
        read_bytes: Math.round(40 * 2 ** 20 * random()),
        write_bytes: Math.round(90 * 2 ** 20 * random()),
        read_ios: Math.round(120 * random()),
        write_ios: Math.round(310 * random()),
        io_ticks: Math.round(400 * random()),
      })),
    };
  },
};
