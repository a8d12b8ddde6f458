import { expect, test } from "vitest";
import { countsOf, previewOf, withReasons } from "./preview";

const LOG = [
  "2026-11-26T12:46:19+00:00: Starting datastore prune on datastore 'tank', root namespace, down to full depth",
  "2026-11-26T12:46:19+00:00: (dry test run)",
  "2026-11-26T12:46:19+00:00: retention options: --keep-last 1",
  '2026-11-26T12:46:19+00:00: Pruning group :"host/web1"',
  "2026-11-26T12:46:19+00:00: would remove host/web1/2026-01-01T10:00:00Z",
  "2026-11-26T12:46:19+00:00: would keep protected host/web1/2026-01-02T10:00:00Z",
  "2026-11-26T12:46:19+00:00: would keep host/web1/2026-01-03T10:00:00Z",
  '2026-11-26T12:46:19+00:00: Pruning group site/a:"host/web1"',
  "2026-11-26T12:46:19+00:00: would keep partial host/web1/2026-01-01T10:00:00Z",
  "2026-11-26T12:46:19+00:00: TASK OK",
];

test("a dry run's log says what stays and what goes, in which namespace", () => {
  expect(previewOf(LOG)).toEqual([
    { ns: "", group: "host/web1", time: "2026-01-01T10:00:00Z", mark: "remove" },
    { ns: "", group: "host/web1", time: "2026-01-02T10:00:00Z", mark: "protected" },
    { ns: "", group: "host/web1", time: "2026-01-03T10:00:00Z", mark: "keep" },
    { ns: "site/a", group: "host/web1", time: "2026-01-01T10:00:00Z", mark: "partial" },
  ]);
});

test("groups of the same name in two namespaces are two", () => {
  expect(countsOf(previewOf(LOG))).toEqual({ snapshots: 4, removed: 1, groups: 2, touched: 1 });
});

test("reasons are told where they fit to what the server says", () => {
  const preview = previewOf(LOG);
  expect(withReasons(preview, { "keep-last": 1 }, "UTC").map(({ reason }) => reason)).toEqual([
    "surplus",
    "protected",
    "keep-last",
    "partial",
  ]);
  const strange = preview.map((row) => ({ ...row, mark: "remove" as const }));
  expect(withReasons(strange, { "keep-last": 9 }, "UTC").every(({ reason }) => reason === undefined)).toBe(true);
});
