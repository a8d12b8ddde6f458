/** Jobs: four that sync, of which one runs and one fails, and one or two of each other kind; and their runs. */
import type { paths } from "../../src/api/schema";
import type { Answers, Asked } from "./api";
import { at, DAY, MINUTE, NOW, numbers, upid } from "./time";

const GIB = 2 ** 30;
const MIB = 2 ** 20;

type SyncJob = paths["/admin/sync"]["get"]["responses"]["200"]["content"]["application/json"]["data"][number];
type Run =
  paths["/farhold/job-runs/{type}/{id}"]["get"]["responses"]["200"]["content"]["application/json"]["data"][number];
type Plan = paths["/farhold/sync/{id}/plan"]["get"]["responses"]["200"]["content"]["application/json"]["data"];

/** The task of the run that is going on. */
export const RUNNING = upid("syncjob", "site-b:vault:tank:site-b:pull-site-b", NOW - 14 * MINUTE);
const BEFORE = upid("syncjob", "site-b:vault:tank:site-b:pull-site-b", at(8));
export const FAILED = upid("syncjob", "site-c:backup:longterm::push-offsite", at(3));
const DONE = upid("syncjob", "site-b:archive:longterm::pull-archive", at(2, 30));
const WITHIN = upid("syncjob", "-:tank:longterm::keep-longer", at(4));
const PRUNED = upid("prunejob", "tank:prune-tank", at(5, 30));
const VERIFIED = upid("verificationjob", "tank:verify-weekly", at(6));

const syncJobs: SyncJob[] = [
  {
    id: "pull-site-b",
    store: "tank",
    ns: "site-b",
    remote: "site-b",
    "remote-store": "vault",
    "sync-direction": "pull",
    schedule: "hourly",
    "group-filter": ["type:vm", "exclude:group:vm/9999"],
    "remove-vanished": true,
    "worker-threads": 4,
    owner: "admin@pbs",
    comment: "all machines of the second site",
    "last-run-upid": RUNNING,
    "next-run": at(10),
  },
  {
    id: "pull-archive",
    store: "longterm",
    remote: "site-b",
    "remote-store": "archive",
    "sync-direction": "pull",
    schedule: "02:30",
    "rate-in": "40 MiB",
    "verified-only": true,
    owner: "admin@pbs",
    "last-run-upid": DONE,
    "last-run-state": "OK",
    "last-run-endtime": at(3, 12),
    "next-run": at(2, 30, -1),
  },
  {
    id: "push-offsite",
    store: "longterm",
    remote: "site-c",
    "remote-store": "backup",
    "sync-direction": "push",
    schedule: "daily",
    "active-encryption-key": "offsite-2026",
    "associated-key": ["offsite-2025"],
    owner: "admin@pbs",
    comment: "encrypted on the way out",
    "last-run-upid": FAILED,
    "last-run-state": "connection failed: the certificate's fingerprint is another one than that of the remote",
    "last-run-endtime": at(3, 1),
    "next-run": at(0, 0, -1),
  },
  {
    id: "keep-longer",
    store: "longterm",
    "remote-store": "tank",
    "sync-direction": "pull",
    schedule: "04:00",
    "transfer-last": 1,
    owner: "admin@pbs",
    "last-run-upid": WITHIN,
    "last-run-state": "WARNINGS: 1",
    "last-run-endtime": at(4, 20),
    "next-run": at(4, 0, -1),
  },
];

const RUN_MEMBERS = ["last-run-upid", "last-run-state", "last-run-endtime", "next-run"] as const;

function config(job: SyncJob): Omit<SyncJob, (typeof RUN_MEMBERS)[number]> {
  const copy = { ...job };
  for (const name of RUN_MEMBERS) delete copy[name];
  return copy;
}

function wanted({ "sync-direction": direction = "pull", store }: Asked): SyncJob[] {
  return syncJobs.filter(
    (job) => (direction === "all" || job["sync-direction"] === direction) && (!store || job.store === store),
  );
}

function runs(id: string): Run[] {
  const random = numbers(id.length);
  return Array.from({ length: 30 }, (_, index): Run => {
    const start = at(2, 30, 29 - index);
    const success = !(id === "push-offsite" && 26 < index) && index !== 11;
    const bytes = success ? Math.round((4 + 9 * random()) * GIB) : 0;
    const seconds = Math.round((18 + 25 * random()) * MINUTE);
    return {
      starttime: start,
      endtime: start + (success ? seconds : 40),
      status: success ? "OK" : "connection failed",
      success,
      upid: upid("syncjob", `site-b:archive:longterm::${id}`, start),
      bytes,
      rate: success ? Math.round(bytes / seconds) : 0,
      snapshots: success ? Math.round(8 + 6 * random()) : 0,
      behind: success ? 0 : 12,
      failures: success ? 0 : 1,
      retries: index === 17 ? 2 : 0,
    };
  });
}

const progress = {
  phase: "sync" as const,
  done: 18 * GIB,
  total: 42 * GIB,
  unit: "bytes" as const,
  namespaces: 1,
  namespaces_done: 0,
  groups: 42,
  groups_done: 17,
  snapshots: 96,
  snapshots_done: 41,
  bytes_done: 18 * GIB,
  bytes_left: 24 * GIB,
  bytes_planned: 42 * GIB,
  bytes_received: 7.5 * GIB,
  bytes_total: 42 * GIB,
  elapsed: 14 * MINUTE,
  eta: 19 * MINUTE,
  rate: 22 * MIB,
  failures: 0,
  retries: 1,
  current: [
    { ns: "", group: "vm/104", snapshot: at(7), snapshots: 3, snapshots_done: 1 },
    { ns: "", group: "vm/107", snapshot: at(7, 10), snapshots: 2, snapshots_done: 0 },
  ],
};

export const plan: Plan = {
  direction: "pull",
  "is-compatibility-mode": false,
  "snapshots-to-fetch": 3,
  "bytes-estimate": 148 * GIB,
  "removed-namespaces": [],
  unreadable: [],
  namespaces: [
    {
      source: "",
      target: "site-b",
      "is-missing-on-target": false,
      "groups-total": 3,
      groups: [
        {
          group: "vm/104",
          snapshots: [
            { time: at(7, 0, 1), action: "compare", reason: "newest-on-target", "size-bytes": 64 * GIB },
            { time: at(7), action: "transfer", reason: "newer", "size-bytes": 64 * GIB },
          ],
          removals: [{ time: at(7, 0, 40), "is-protected": false }],
        },
        {
          group: "vm/107",
          snapshots: [
            { time: at(7, 10, 1), action: "transfer", reason: "first-of-group", "size-bytes": 42 * GIB },
            { time: at(7, 10), action: "transfer", reason: "first-of-group", "size-bytes": 42 * GIB },
          ],
          removals: [],
        },
      ],
      "removed-groups": [{ group: "vm/090", snapshots: [{ time: at(7, 0, 90), "is-protected": false }] }],
    },
  ],
};

export const jobs: Answers = {
  "/farhold/schedule": { data: { runs: [10, 11, 12, 13, 14].map((hour) => at(hour)), "time-zone": "UTC" } },
  "/admin/sync": (asked) => ({ data: wanted(asked), digest: "0".repeat(64) }),
  "/config/sync": (asked) => ({ data: wanted(asked).map(config), digest: "0".repeat(64) }),
  "/config/sync/{id}": ({ id }) => ({
    data: config(syncJobs.find((job) => job.id === id) ?? syncJobs[0]!),
    digest: "0".repeat(64),
  }),
  "/admin/prune": {
    data: [
      {
        id: "prune-tank",
        store: "tank",
        schedule: "05:30",
        "keep-last": 3,
        "keep-daily": 14,
        "keep-weekly": 8,
        "keep-monthly": 12,
        "last-run-upid": PRUNED,
        "last-run-state": "OK",
        "last-run-endtime": at(5, 31),
        "next-run": at(5, 30, -1),
      },
    ],
  },
  "/config/prune": { data: [{ id: "prune-tank", store: "tank", schedule: "05:30", "keep-last": 3, "keep-daily": 14 }] },
  "/admin/verify": {
    data: [
      {
        id: "verify-weekly",
        store: "tank",
        schedule: "sun 06:00",
        "ignore-verified": true,
        "outdated-after": 30,
        "last-run-upid": VERIFIED,
        "last-run-state": "OK",
        "last-run-endtime": at(7, 40),
        "next-run": at(6, 0, -3),
      },
    ],
  },
  "/config/verify": {
    data: [
      { id: "verify-weekly", store: "tank", schedule: "sun 06:00", "ignore-verified": true, "outdated-after": 30 },
    ],
  },
  "/farhold/job-options": {
    data: [
      { id: "pull-site-b", type: "sync", "stale-after": "6h", "verify-after": true },
      { id: "push-offsite", type: "sync", "stale-after": "1d 2h" },
    ],
  },
  "/farhold/job-options/{type}/{id}": ({ id }) => ({
    data: { id: id ?? "", type: "sync", "stale-after": "6h", "verify-after": true, "traffic-control": false },
  }),
  "/farhold/job-runs": {
    data: syncJobs.map((job, index) => ({
      id: job.id,
      type: "sync",
      store: job.store,
      ...(job.remote ? { remote: job.remote } : {}),
      runs: 30,
      "failed-runs": job.id === "push-offsite" ? 4 : 1,
      "failures-in-row": job.id === "push-offsite" ? 3 : 0,
      behind: job.id === "push-offsite" ? 12 : 0,
      // Of the one that runs, that before is the last.
      "last-run-starttime": (job["last-run-endtime"] ?? at(8, 22)) - 14 * MINUTE,
      "last-run-endtime": job["last-run-endtime"] ?? at(8, 22),
      "last-run-state": job["last-run-state"] ?? "OK",
      "last-run-upid": job["last-run-endtime"] ? (job["last-run-upid"] ?? BEFORE) : BEFORE,
      "last-success": job.id === "push-offsite" ? NOW - 3 * DAY : (job["last-run-endtime"] ?? at(8, 22)),
      rate: (18 + index) * MIB,
      "total-bytes": (190 + 40 * index) * GIB,
      "total-retries": 2,
      "total-snapshots": 310 + index,
    })),
  },
  "/farhold/job-runs/{type}/{id}": ({ id }) => ({ data: runs(id ?? "") }),
  "/farhold/sync/progress": { data: [{ id: "pull-site-b", type: "syncjob", upid: RUNNING, ...progress }] },
  "/farhold/tasks/progress": { data: [{ id: "pull-site-b", type: "syncjob", upid: RUNNING, ...progress }] },
  "/farhold/tasks/{upid}/progress": { data: progress },
  "/farhold/sync/{id}/plan": { data: plan },
};
