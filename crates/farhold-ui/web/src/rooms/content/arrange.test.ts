import { expect, test } from "vitest";
import { arranged, newestSize, NO_FILTERS, rowKey, rowsOf, type Filters } from "./arrange";
import { cryptOf, groupCrypt, joined, verificationOf, type ListedGroup, type ListedSnapshot } from "./model";

const DAY = 86400;
const FIRST = 1767261600; // 2026-01-01T10:00:00Z

function snapshot(id: string, day: number, more: Partial<ListedSnapshot> = {}): ListedSnapshot {
  const base = { "backup-type": "vm", "backup-id": id, "backup-time": FIRST + day * DAY, files: [], protected: false };
  return { ...base, size: 100 * (day + 1), ...more } as ListedSnapshot;
}

const groupOf = (id: string, more: Partial<ListedGroup> = {}): ListedGroup => ({
  "backup-type": "vm",
  "backup-id": id,
  "backup-count": 2,
  "last-backup": FIRST + DAY,
  files: [],
  owner: "jane@pbs",
  ...more,
});

const ok = { state: "ok", upid: "UPID:1" } as const;
const failed = { state: "failed", upid: "UPID:2" } as const;
const GROUPS = [groupOf("100", { comment: "Mail server" }), groupOf("20", { owner: "joe@pbs!t1" }), groupOf("9")];
const SNAPSHOTS = [
  snapshot("100", 0, { verification: ok }),
  snapshot("100", 1, { verification: failed, comment: "before the upgrade" }),
  snapshot("20", 0, { verification: ok, protected: true }),
  snapshot("20", 1, { verification: ok, files: [{ filename: "drive.img.fidx", "crypt-mode": "encrypt" }] }),
];

function shown(filters: Partial<Filters>, column = "name", direction: "up" | "down" = "up") {
  const groups = arranged(joined(GROUPS, SNAPSHOTS), { ...NO_FILTERS, ...filters }, { column, direction });
  return rowsOf(groups, () => true).map(rowKey);
}

test("groups come in the order of their numbers, their snapshots newest first", () => {
  expect(shown({})).toEqual([
    "vm/9",
    "vm/20",
    "vm/20/2026-01-02T10:00:00Z",
    "vm/20/2026-01-01T10:00:00Z",
    "vm/100",
    "vm/100/2026-01-02T10:00:00Z",
    "vm/100/2026-01-01T10:00:00Z",
  ]);
});

test("a word that fits a group stands for all its snapshots, others for single ones", () => {
  expect(shown({ text: "MAIL" })).toEqual(["vm/100", "vm/100/2026-01-02T10:00:00Z", "vm/100/2026-01-01T10:00:00Z"]);
  expect(shown({ text: "mail upgrade" })).toEqual(["vm/100", "vm/100/2026-01-02T10:00:00Z"]);
  expect(shown({ text: "joe@pbs 2026-01-01" })).toEqual(["vm/20", "vm/20/2026-01-01T10:00:00Z"]);
  expect(shown({ text: "mail joe" })).toEqual([]);
});

test("groups without a snapshot that fits are left out, also empty ones", () => {
  expect(shown({ verification: "failed" })).toEqual(["vm/100", "vm/100/2026-01-02T10:00:00Z"]);
  expect(shown({ protection: "yes" })).toEqual(["vm/20", "vm/20/2026-01-01T10:00:00Z"]);
  expect(shown({ crypt: "encrypt" })).toEqual(["vm/20", "vm/20/2026-01-02T10:00:00Z"]);
  expect(shown({ verification: "none" })).toEqual([]);
});

test("what failed comes first, in groups and among their snapshots", () => {
  expect(shown({}, "verification").slice(0, 3)).toEqual([
    "vm/100",
    "vm/100/2026-01-02T10:00:00Z",
    "vm/100/2026-01-01T10:00:00Z",
  ]);
  expect(shown({ text: "vm/100" }, "size")).toEqual([
    "vm/100",
    "vm/100/2026-01-01T10:00:00Z",
    "vm/100/2026-01-02T10:00:00Z",
  ]);
});

test("only open groups have rows below them", () => {
  const groups = arranged(joined(GROUPS, SNAPSHOTS), NO_FILTERS, { column: "name", direction: "up" });
  expect(rowsOf(groups, (name) => name === "vm/100")).toHaveLength(5);
});

test("groups are known before their snapshots, and snapshots without their group", () => {
  const [first] = joined(GROUPS, undefined);
  expect(first).toMatchObject({ name: "vm/100", count: 2, snapshots: [] });
  const [other] = joined(undefined, SNAPSHOTS.slice(0, 2));
  expect(other).toMatchObject({ name: "vm/100", count: 2, last: FIRST + DAY });
});

test("a group is as good as the worst of its snapshots", () => {
  const [mail, other, empty] = joined(GROUPS, SNAPSHOTS);
  expect(verificationOf(mail?.snapshots ?? [])).toBe("failed");
  expect(verificationOf(other?.snapshots ?? [])).toBe("ok");
  expect(verificationOf(empty?.snapshots ?? [])).toBe("none");
  expect([groupCrypt(other?.snapshots ?? []), groupCrypt([])]).toEqual(["mixed", undefined]);
  expect([newestSize(mail?.snapshots ?? []), newestSize([])]).toEqual([200, -1]);
});

test("the manifest and files that it does not list say nothing about encryption", () => {
  expect(cryptOf([])).toBe("none");
  const manifest = { filename: "index.json.blob", "crypt-mode": "sign-only" } as const;
  const disk = { filename: "a.img.fidx", "crypt-mode": "encrypt" } as const;
  expect(cryptOf([disk, manifest, { filename: "client.log.blob" }])).toBe("encrypt");
  expect(cryptOf([disk, { filename: "b.blob", "crypt-mode": "none" }])).toBe("mixed");
});
