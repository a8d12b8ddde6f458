import { expect, test } from "vitest";
import { arranged } from "./table-order";

const rows = [
  { id: "vm/100", size: 5 },
  { id: "vm/20", size: undefined },
  { id: "ct/3", size: 12 },
];
const columns = [
  { id: "id", value: (row: (typeof rows)[number]) => row.id },
  { id: "size", value: (row: (typeof rows)[number]) => row.size },
];
const ids = (filter: string, column?: string, direction: "up" | "down" = "up") =>
  arranged(rows, columns, filter, column ? { column, direction } : undefined).map((row) => row.id);

test("numbers in names count as numbers", () => {
  expect(ids("", "id")).toEqual(["ct/3", "vm/20", "vm/100"]);
});

test("rows without a value come last in both directions", () => {
  expect(ids("", "size")).toEqual(["vm/100", "ct/3", "vm/20"]);
  expect(ids("", "size", "down")).toEqual(["ct/3", "vm/100", "vm/20"]);
});

test("every word has to occur, in any column", () => {
  expect(ids("VM 5")).toEqual(["vm/100"]);
  expect(ids("nothing")).toEqual([]);
  expect(ids("")).toEqual(["vm/100", "vm/20", "ct/3"]);
});
