import { expect, test } from "vitest";
import { secondsOf } from "./time-span";

test("spans are read as the server reads them", () => {
  expect(["26h", "1d 2h", "2w", "90", "5min 30s", "1M", "1hr"].map(secondsOf)).toEqual([
    93_600, 93_600, 1_209_600, 90, 330, 2_630_016, 3_600,
  ]);
});

test("what is no span is none", () => {
  expect(["", "soon", "5 parsecs", "h", "5h,", "1.5h"].map(secondsOf)).toEqual(Array(6).fill(undefined));
});
