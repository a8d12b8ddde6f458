import { expect, test } from "vitest";
import { behindOf, isRunning, isShown, kindOf, rowsOf, type Options, type Runs, type SyncJob } from "./job-row";

const NOW = 1_000_000;
const job = (id: string, more: Partial<SyncJob> = {}): SyncJob => ({
  id,
  store: "tank",
  "remote-store": "far",
  ...more,
});
const ended = (state: string): Partial<SyncJob> => ({ "last-run-upid": "UPID:x", "last-run-state": state });
const succeeded = (id: string, at: number): Runs => ({ id, type: "sync", store: "tank", "last-success": at });

test("a pull without a remote is local", () => {
  expect(
    [job("a"), job("b", { remote: "r" }), job("c", { "sync-direction": "push", remote: "r" })].map(kindOf),
  ).toEqual(["local", "pull", "push"]);
});

test("a job runs as long as its last run has no result", () => {
  expect([job("a"), job("b", { "last-run-upid": "UPID:x" }), job("c", ended("OK"))].map(isRunning)).toEqual([
    false,
    true,
    false,
  ]);
});

test("states come from the last run and from the age of the last success", () => {
  const limit: Options = { id: "old", type: "sync", "stale-after": "1d 2h" };
  const rows = rowsOf(
    {
      jobs: [
        job("good", ended("OK")),
        job("warned", ended("WARNINGS: 2")),
        job("failed", ended("connection refused")),
        job("fresh", ended("OK")),
        job("old", ended("OK")),
        job("new"),
        job("runs", { "last-run-upid": "UPID:y" }),
      ],
      options: [limit, { ...limit, id: "fresh" }, { ...limit, id: "new", type: "prune" }],
      runs: [succeeded("old", NOW - 26 * 3600 - 1), succeeded("fresh", NOW - 26 * 3600)],
    },
    NOW,
  );
  expect(Object.fromEntries(rows.map(({ id, health }) => [id, health]))).toEqual({
    good: "good",
    warned: "warning",
    failed: "failed",
    fresh: "good",
    old: "stale",
    new: "never",
    runs: "running",
  });
  expect(rows.filter(({ health }) => isShown(health, "bad")).map(({ id }) => id)).toEqual(["failed", "old"]);
  expect(rows.every(({ health }) => isShown(health, "all"))).toBe(true);
});

test("a run that failed early does not make a target look up to date", () => {
  const runs = { ...succeeded("a", 1), behind: 0 };
  expect(behindOf({ health: "failed", runs })).toBeUndefined();
  expect(behindOf({ health: "good", runs })).toBe(0);
  expect(behindOf({ health: "failed", runs: { ...runs, behind: 3 } })).toBe(3);
});
