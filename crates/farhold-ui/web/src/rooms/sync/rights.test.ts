import { expect, test } from "vitest";
import { mayAdd, mayChange } from "./rights";

const can = (granted: Record<string, string[]>) => (path: string, privilege: string) =>
  granted[path]?.includes(privilege) ?? false;

test("a pull needs rights on the target and on the remote's datastore", () => {
  const job = { id: "a", store: "tank", ns: "site", remote: "far", "remote-store": "vault" };
  const local = { "/datastore/tank/site": ["Datastore.Backup"] };
  expect(mayChange(can(local), job)).toBe(false);
  expect(mayChange(can({ ...local, "/remote/far/vault": ["Remote.Read"] }), job)).toBe(true);
  expect(mayChange(can(local), { id: "b", store: "tank", ns: "site", "remote-store": "other" })).toBe(true);
});

test("a push needs rights on the remote's namespace, and to read here", () => {
  const job = { id: "a", store: "tank", remote: "far", "remote-store": "vault", "remote-ns": "in" };
  const push = { ...job, "sync-direction": "push" as const };
  const remote = { "/remote/far/vault/in": ["Remote.DatastoreBackup"] };
  expect(mayChange(can(remote), push)).toBe(false);
  expect(mayChange(can({ ...remote, "/datastore/tank": ["Datastore.Read"] }), push)).toBe(true);
});

test("a reader may add jobs only where there is a remote to push to", () => {
  const reader = can({ "/datastore/tank": ["Datastore.Audit", "Datastore.Read"] });
  expect(mayAdd(reader, { "/datastore/tank": { "Datastore.Read": true } }, ["tank"])).toBe(false);
  expect(mayAdd(reader, { "/remote/far": { "Remote.DatastoreBackup": true } }, ["tank"])).toBe(true);
  expect(mayAdd(can({ "/datastore/tank": ["Datastore.Audit", "Datastore.Backup"] }), {}, ["other", "tank"])).toBe(true);
});
