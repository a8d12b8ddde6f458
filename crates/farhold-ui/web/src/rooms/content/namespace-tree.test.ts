import { expect, test } from "vitest";
import { closedAtFirst, inSight, isWithin, linesOf, parentOf } from "./namespace-tree";

test("namespaces stand before those below them, whatever their names", () => {
  const lines = linesOf(["b", "a-1", "a/x", "a", "", "a10", "a2"]);
  expect(lines.map(({ ns, depth, hasChildren }) => [ns, depth, hasChildren])).toEqual([
    ["", 0, true],
    ["a", 1, true],
    ["a/x", 2, false],
    ["a-1", 1, false],
    ["a2", 1, false],
    ["a10", 1, false],
    ["b", 1, false],
  ]);
});

test("names that are alike stay apart", () => {
  expect(linesOf(["a01/x", "a1", "a1/y", "a01"]).map(({ ns }) => ns)).toEqual(["a01", "a01/x", "a1", "a1/y"]);
});

test("what lies below a closed namespace is out of sight, also where those between are not to be seen", () => {
  const lines = linesOf(["a", "a/b/c", "d"]);
  expect(inSight(lines, new Set(["a"])).map(({ ns }) => ns)).toEqual(["a", "d"]);
});

test("a namespace whose parents are not to be seen stands with its whole name", () => {
  const lines = linesOf(["a/b/c", "a/b/c/d/e", "f"]);
  expect(lines.map(({ name, depth }) => [name, depth])).toEqual([
    ["a/b/c", 0],
    ["d/e", 1],
    ["f", 0],
  ]);
});

test("of many namespaces only the way to the current one is open", () => {
  const names = Array.from({ length: 40 }, (_, at) => [`n${at}`, `n${at}/x`]).flat();
  const closed = closedAtFirst(linesOf(names), "n3/x");
  expect([closed.has("n2"), closed.has("n3"), closed.has("n3/x")]).toEqual([true, false, false]);
  expect(closedAtFirst(linesOf(names.slice(0, 10)), "").size).toBe(0);
});

test("a namespace lies in itself, in those above and in the root", () => {
  expect([isWithin("a/b", "a"), isWithin("ab", "a"), isWithin("a", "a"), isWithin("a", "")]).toEqual([
    true,
    false,
    true,
    true,
  ]);
  expect([parentOf("a/b"), parentOf("a"), parentOf("")]).toEqual(["a", "", undefined]);
});
