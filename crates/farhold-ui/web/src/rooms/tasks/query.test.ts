import { expect, test } from "vitest";
import { NO_FILTER, queryOf } from "./query";

test("only what is filtered by is asked for", () => {
  expect(queryOf(NO_FILTER, 200)).toEqual({ limit: 200 });
  expect(
    queryOf({ ...NO_FILTER, isRunning: true, result: "error", kind: "syncjob", user: " a@pbs ", store: "tank" }, 400),
  ).toEqual({
    limit: 400,
    running: true,
    statusfilter: ["error"],
    typefilter: "syncjob",
    userfilter: "a@pbs",
    store: "tank",
  });
});

test("days include their last hour, and nonsense is no filter", () => {
  const { since, until } = queryOf({ ...NO_FILTER, since: "2026-05-01", until: "2026-05-01" }, 1);
  expect((until ?? 0) - (since ?? 0)).toBe(24 * 3600);
  expect(queryOf({ ...NO_FILTER, since: "soon" }, 1)).toEqual({ limit: 1 });
});
