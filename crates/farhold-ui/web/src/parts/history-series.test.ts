import { expect, test } from "vitest";
import { knownRows, seriesOf } from "./history-series";

interface Row {
  time: number;
  used?: number;
  total?: number;
}

const LINES = [
  { label: "used", value: (row: Row) => row.used },
  { label: "total", value: (row: Row) => row.total },
];

test("what is not known is a hole, and a line that knows nothing is left out", () => {
  const rows: Row[] = [{ time: 1 }, { time: 2, used: 5 }, { time: 3 }];
  expect(seriesOf(rows, LINES)).toEqual([{ label: "used", values: [null, 5, null] }]);
  expect(knownRows(rows, LINES)).toEqual([{ time: 2, used: 5 }]);
  expect(seriesOf([], LINES)).toEqual([]);
});
