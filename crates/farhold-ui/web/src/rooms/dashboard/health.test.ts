import { expect, test } from "vitest";
import { healthOf, needsCare, tally, type JobLists } from "./health";

const HOUR = 3600;
const NOW = 1_000_000;

const none: JobLists = { runs: [], options: [], sync: [], prune: [], verify: [], gc: [], running: new Set() };
const syncJob = (id: string, rest: object = {}) => ({ id, store: "tank", "remote-store": "golden", ...rest });
const syncRuns = (id: string, rest: object = {}) => ({ type: "sync" as const, id, store: "tank", ...rest });
const limit = (id: string, text: string) => ({ type: "sync" as const, id, "stale-after": text });
const ended = (state: string, lastSuccess?: number) => ({
  "last-run-state": state,
  "last-run-endtime": NOW - 10,
  "last-run-upid": "UPID:ended",
  ...(lastSuccess === undefined ? {} : { "last-success": lastSuccess }),
});

test("jobs stand worst first", () => {
  const runs = [
    syncRuns("fine", ended("OK", NOW - 10)),
    syncRuns("unrun"),
    syncRuns("behind", { ...ended("OK", NOW - 10), behind: 3 }),
    syncRuns("warned", { ...ended("WARNINGS: 2", NOW - 10), behind: 3 }),
    syncRuns("unproven"),
    syncRuns("failed", ended("connection refused", NOW - HOUR)),
    syncRuns("stale", ended("connection refused", NOW - 27 * HOUR)),
  ];
  const options = [limit("unproven", "1h"), limit("stale", "1d 2h"), limit("failed", "1d 2h"), limit("fine", "1h")];
  const jobs = healthOf({ ...none, runs, options }, NOW);
  expect(jobs.map(({ id, verdict }) => [id, verdict])).toEqual(
    ["stale", "failed", "unproven", "warned", "behind", "unrun", "fine"].map((name) => [name, name]),
  );
  expect(jobs.filter(needsCare).map(({ id }) => id)).toEqual(["stale", "failed", "unproven", "warned", "behind"]);
  expect(tally(jobs)).toHaveLength(7);
});

test("a success of exactly the limit's age is not too old", () => {
  const of = (age: number) =>
    healthOf({ ...none, runs: [syncRuns("s", ended("OK", NOW - age))], options: [limit("s", "26h")] }, NOW)[0]?.verdict;
  expect([of(26 * HOUR), of(26 * HOUR + 1)]).toEqual(["fine", "stale"]);
});

test("a running job keeps what its last run came to, and tells its task", () => {
  const runs = [syncRuns("s", ended("it broke"))];
  const sync = [syncJob("s", { "last-run-upid": "UPID:now", "next-run": NOW + 60, schedule: "hourly" })];
  const [job] = healthOf({ ...none, runs, sync }, NOW);
  expect(job).toMatchObject({
    runningUpid: "UPID:now",
    lastUpid: "UPID:ended",
    lastState: "it broke",
    verdict: "failed",
    nextRun: NOW + 60,
  });
});

test("the first run of a job has no last one", () => {
  const sync = [syncJob("s", { "last-run-upid": "UPID:now" })];
  const [job] = healthOf({ ...none, runs: [syncRuns("s")], sync }, NOW);
  expect(job).toMatchObject({ runningUpid: "UPID:now", verdict: "unrun" });
  expect(job).not.toHaveProperty("lastUpid");
});

test("a pull is the direction of a job that names none, and a local job has no remote", () => {
  const sync = [syncJob("a"), syncJob("b", { "sync-direction": "push", remote: "offsite" })];
  const jobs = healthOf({ ...none, runs: [syncRuns("a"), syncRuns("b")], sync }, NOW);
  expect(jobs.map(({ route }) => route)).toEqual([
    { direction: "pull", remoteStore: "golden" },
    { direction: "push", remote: "offsite", remoteStore: "golden" },
  ]);
});

test("a garbage collection is known by its datastore, also to those who may not list it", () => {
  const runs = ["tank", "away"].map((store) => ({ type: "gc" as const, id: store, store }));
  const counts = {
    "disk-bytes": 0,
    "disk-chunks": 0,
    "index-data-bytes": 0,
    "index-file-count": 0,
    "pending-bytes": 0,
    "pending-chunks": 0,
    "removed-bad": 0,
    "removed-bytes": 0,
    "removed-chunks": 0,
    "still-bad": 0,
  };
  const gc = [{ ...counts, store: "tank", upid: "UPID:gc", "next-run": 5 }];
  const foreign = healthOf({ ...none, runs, gc }, NOW);
  expect(foreign.map(({ runningUpid }) => runningUpid)).toEqual([undefined, undefined]);
  const jobs = healthOf({ ...none, runs, gc, running: new Set(["UPID:gc"]) }, NOW);
  expect(jobs.map(({ id, nextRun, runningUpid }) => [id, nextRun, runningUpid])).toEqual([
    ["away", undefined, undefined],
    ["tank", 5, "UPID:gc"],
  ]);
});
