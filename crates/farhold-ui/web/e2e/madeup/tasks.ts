/** Worker tasks: one that runs, and some of the last day with all kinds of ends. */
import type { paths } from "../../src/api/schema";
import type { Answers, Asked } from "./api";
import { FAILED, RUNNING } from "./jobs";
import { at, MINUTE, NODE, NOW, upid, USER } from "./time";

type Task = paths["/nodes/{node}/tasks"]["get"]["responses"]["200"]["content"]["application/json"]["data"][number];

function task(type: string, id: string, start: number, minutes: number, status: string, user = USER): Task {
  return {
    upid: upid(type, id, start, user),
    node: NODE,
    pid: 812,
    pstart: 91_234,
    starttime: start,
    endtime: start + minutes * MINUTE,
    status,
    user,
    worker_type: type,
    worker_id: id,
  };
}

const FINGERPRINT = "connection failed: the certificate's fingerprint is another one than that of the remote";

const running: Task = {
  upid: RUNNING,
  node: NODE,
  pid: 812,
  pstart: 91_234,
  starttime: NOW - 14 * MINUTE,
  user: USER,
  worker_type: "syncjob",
  worker_id: "site-b:vault:tank:site-b:pull-site-b",
};

const all: Task[] = [
  running,
  task("backup", "tank:vm/100", at(9, 5), 4, "OK", "backup@pbs!pve1"),
  task("backup", "tank:ct/200", at(9), 1, "OK", "backup@pbs!pve1"),
  task("syncjob", "site-b:vault:tank:site-b:pull-site-b", at(8), 21, "OK"),
  task("verificationjob", "tank:verify-weekly", at(6), 100, "OK"),
  task("prunejob", "tank:prune-tank", at(5, 30), 1, "OK"),
  task("syncjob", "-:tank:longterm::keep-longer", at(4), 20, "WARNINGS: 1"),
  { ...task("syncjob", "site-c:backup:longterm::push-offsite", at(3), 1, FINGERPRINT), upid: FAILED },
  task("syncjob", "site-b:archive:longterm::pull-archive", at(2, 30), 42, "OK"),
  task("logrotate", "", at(0), 1, "OK", "root@pam"),
  task("reader", "tank:host/fileserver", at(19, 40, 1), 12, "OK", "backup@pbs!pve2"),
  task(
    "verificationjob",
    "tank:verify-weekly",
    at(6, 0, 4),
    97,
    "verification failed - please check the log for details",
  ),
  task("garbage_collection", "tank", at(4, 0, 5), 72, "OK"),
];

function isWanted(one: Task, asked: Asked): boolean {
  const isRunning = one.endtime === undefined;
  if (["1", "true"].includes(asked.running ?? "") && !isRunning) return false;
  if (["1", "true"].includes(asked.errors ?? "") && (isRunning || one.status === "OK")) return false;
  if (asked.typefilter && !one.worker_type.includes(asked.typefilter)) return false;
  if (asked.userfilter && !one.user.includes(asked.userfilter)) return false;
  if (asked.store && !one.worker_id?.includes(asked.store)) return false;
  if (asked.since && one.starttime < Number(asked.since)) return false;
  const kind = isRunning ? "" : one.status === "OK" ? "ok" : one.status?.startsWith("WARNINGS") ? "warning" : "error";
  return !asked.statusfilter || asked.statusfilter.includes(kind);
}

const LOG = [
  "Starting datastore sync job 'site-b:vault:tank:site-b:pull-site-b'",
  "task triggered by schedule 'hourly'",
  "sync datastore 'tank' from 'site-b/vault'",
  "----",
  "Syncing datastore 'vault', root namespace into datastore 'tank', namespace 'site-b'",
  "found 42 groups to sync (out of 43 total)",
  "sync group vm/103",
  "re-sync snapshot vm/103/2026-11-26T06:00:00Z",
  "no data changes",
  "percentage done: 38.10% (16/42 groups)",
  "sync group vm/104",
  "sync snapshot vm/104/2026-11-26T07:00:00Z",
  "sync archive qemu-server.conf.blob",
  "sync archive drive-scsi0.img.fidx",
  "downloaded 1.204 GiB (31.118 MiB/s)",
  "percentage done: 40.48% (17/42 groups)",
];

const logLines = LOG.map((text, index) => ({
  n: index + 1,
  t: `2026-11-26T09:${String(16 + Math.floor(index / 3)).padStart(2, "0")}:00+00:00: ${text}`,
}));

export const tasks: Answers = {
  "/nodes/{node}/tasks": (asked) => {
    const found = all.filter((one) => isWanted(one, asked));
    const start = Number(asked.start ?? 0);
    return { data: found.slice(start, start + Number(asked.limit ?? 50)), total: found.length };
  },
  "/nodes/{node}/tasks/{upid}/status": (asked) => {
    const one = all.find((candidate) => candidate.upid === asked.upid) ?? running;
    const common = {
      id: one.worker_id,
      node: one.node,
      pid: one.pid,
      pstart: one.pstart,
      starttime: one.starttime,
      type: one.worker_type,
      upid: one.upid,
      user: one.user,
    };
    if (one.endtime === undefined) return { data: { ...common, status: "running" } };
    return { data: { ...common, status: "stopped", exitstatus: one.status ?? "", endtime: one.endtime } };
  },
  "/nodes/{node}/tasks/{upid}/log": (asked) => {
    const first = Math.max(1, Number(asked.start ?? 1));
    const data = logLines.slice(first - 1, first - 1 + Number(asked.limit || 50));
    return { data, total: logLines.length, success: 1, active: asked.upid === RUNNING };
  },
};
