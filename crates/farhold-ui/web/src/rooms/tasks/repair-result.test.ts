import { expect, test } from "vitest";
import { repairResult } from "./repair-result";

const log = (...texts: string[]) => texts.map((t, index) => ({ n: index + 1, t }));

const SUMS = "2 snapshot(s) examined, 2 damaged, 1 of them mended; 1 chunk(s) (64 KiB) and 0 file(s) put in place";

test("the lists at the end of the log tell what was mended and what not", () => {
  const lines = log(
    "vm/1/2026-01-01T10:00:00Z is whole again",
    `summary: ${SUMS}`,
    "1 snapshot(s) were in use and left alone",
    "whole again:",
    "\tvm/1/2026-01-01T10:00:00Z",
    "still damaged:",
    "\tns/a/vm/2/2026-01-01T10:00:00Z: disk.img.fidx: 1 chunk(s) are missing or bad",
    "\t... and 3 more, see above",
    "TASK ERROR: repair left something damaged - please check the log for details",
  );
  expect(repairResult(lines)).toEqual({
    summary: SUMS,
    isDry: false,
    mended: ["vm/1/2026-01-01T10:00:00Z"],
    unmended: [
      { what: "ns/a/vm/2/2026-01-01T10:00:00Z", why: "disk.img.fidx: 1 chunk(s) are missing or bad" },
      { what: "... and 3 more, see above", why: "" },
    ],
  });
});

test("a dry run says what would be mended", () => {
  const sums =
    "1 snapshot(s) examined, 1 damaged, 1 of them would be mended; 1 chunk(s) (0 B) and 0 file(s) would be put in place";
  const result = repairResult(
    log(`summary: ${sums}`, "would be whole again:", "\tvm/1/2026-01-01T10:00:00Z", "TASK OK"),
  );
  expect(result?.isDry).toBe(true);
  expect(result?.mended).toEqual(["vm/1/2026-01-01T10:00:00Z"]);
});

test("a repair that runs or was stopped has no result", () => {
  expect(repairResult(log("repair datastore 'a' from 'b'", "TASK ERROR: abort requested"))).toBeUndefined();
});
