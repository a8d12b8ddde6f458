import { expect, test } from "vitest";
import { jobSaver, type Changes, type JobCalls, type JobOptions } from "./job-save";

type Body = { id: string; store: string; comment?: string };

function scene(failOptions = false) {
  const log: unknown[] = [];
  const state = { failOptions };
  const calls: JobCalls<Body> = {
    create: async (body) => void log.push(["create", body]),
    update: async (id: string, changes: Changes<Body>, digest) => void log.push(["update", id, changes, digest]),
    options: async (id: string, changes: Changes<JobOptions>) => {
      log.push(["options", id, changes]);
      if (state.failOptions) throw new Error("no such schedule");
    },
  };
  return { log, state, calls };
}

test("a new job is created once, also if its options are refused at first", async () => {
  const { log, state, calls } = scene(true);
  const save = jobSaver(calls, {});
  await expect(save({ id: "a", store: "tank", comment: "" }, { "stale-after": "soon" })).rejects.toThrow("no such");
  state.failOptions = false;
  await save({ id: "a", store: "tank", comment: "x" }, { "stale-after": "26h" });
  expect(log).toEqual([
    ["create", { id: "a", store: "tank" }],
    ["options", "a", { "stale-after": "soon" }],
    ["update", "a", { comment: "x" }, undefined],
    ["options", "a", { "stale-after": "26h" }],
  ]);
});

test("a stored job is changed under its digest, and only where something differs", async () => {
  const { log, calls } = scene();
  const stored = { id: "a", store: "tank", comment: "x" };
  const save = jobSaver(calls, { stored, digest: "d1", options: { "stale-after": "26h" } });
  await save({ ...stored }, { "stale-after": "26h" });
  expect(log).toEqual([]);
  await save({ ...stored, comment: "" }, { "stale-after": "" });
  expect(log).toEqual([
    ["update", "a", { delete: ["comment"] }, "d1"],
    ["options", "a", { delete: ["stale-after"] }],
  ]);
});
