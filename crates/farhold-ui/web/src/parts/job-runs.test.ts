import { expect, test } from "vitest";
import { coursesOf, type Run } from "./job-runs";

const run = (endtime: number, rest: Partial<Run> = {}): Run => ({
  starttime: endtime - 10,
  endtime,
  status: "OK",
  success: true,
  upid: `UPID:${endtime}`,
  ...rest,
});

test("a sync has its throughput, what is behind and its duration, with holes where a run says nothing", () => {
  const runs = [run(100, { rate: 5, behind: 2 }), run(200, { success: false }), run(300, { rate: 7, behind: 0 })];
  expect(coursesOf("sync", runs)).toEqual([
    { measure: "throughput", times: [100, 200, 300], values: [5, null, 7] },
    { measure: "behind", times: [100, 200, 300], values: [2, null, 0] },
    { measure: "duration", times: [100, 200, 300], values: [10, 10, 10] },
  ]);
});

test("a value that no run has is not drawn, and one of another kind of job neither", () => {
  expect(coursesOf("sync", [run(100)]).map(({ measure }) => measure)).toEqual(["duration"]);
  expect(coursesOf("gc", [run(100, { bytes: 9, rate: 3 })]).map(({ measure }) => measure)).toEqual([
    "freed",
    "duration",
  ]);
  expect(coursesOf("verify", [run(100, { bytes: 9 })]).map(({ measure }) => measure)).toEqual(["duration"]);
  expect(coursesOf("prune", [])).toEqual([]);
});
