import { expect, test } from "vitest";
import { rowsOf } from "./rows";

test("a datastore that cannot be looked into is listed without sizes", () => {
  const [row] = rowsOf(
    [
      {
        store: "tape",
        comment: null,
        "backend-type": "filesystem",
        "mount-status": "notmounted",
        maintenance: "offline,message=disk%20swap",
      },
    ],
    [],
    [{ name: "other", path: "/other" }],
  );
  expect(row).toMatchObject({ store: "tape", comment: "", maintenance: "offline", message: "disk swap" });
  expect(row?.used).toBeUndefined();
  expect(row?.path).toBeUndefined();
});

test("sizes and paths come by name", () => {
  const [row] = rowsOf(
    [{ store: "a", comment: "x", "backend-type": "filesystem", "mount-status": "nonremovable" }],
    [{ store: "a", "backend-type": "filesystem", "mount-status": "nonremovable", used: 1, total: 4, avail: 3 }],
    [{ name: "a", path: "/a", "gc-on-unmount": true }],
  );
  expect(row).toMatchObject({ used: 1, total: 4, available: 3, path: "/a", gcOnUnmount: true });
});
