/**
 * A server with very much to list: 1,000 backup groups of 20 snapshots each, and 500 sync jobs. Datastore and
 * configuration are written as files, in the formats of `docs/spec/`: through the program it would take minutes.
 */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { crc32 } from "node:zlib";

import { makeFolder, removeFolder } from "./folder";
import { ADMIN, Server } from "./server";

export const STORE = "large";
export const GROUPS = 1_000;
export const SNAPSHOTS_PER_GROUP = 20;
export const JOBS = 500;

const DAY_SECONDS = 86_400;
/** Time of the newest snapshot of all groups: 2026-01-20 10:00:00 UTC. */
export const NEWEST = 1_768_903_200;
const MEBIBYTE = 2 ** 20;

const PLAIN_BLOB = Buffer.from([0x42, 0xab, 0x38, 0x07, 0xbe, 0x83, 0x70, 0xa1]);

export class LargeServer {
  private constructor(
    private readonly folder: string,
    readonly server: Server,
  ) {}

  static async build(): Promise<LargeServer> {
    const folder = makeFolder("large");
    const store = path.join(folder, "store");
    writeStore(store);
    const server = await Server.start(path.join(folder, "server"));
    await server.user(ADMIN, "Admin");
    await server.token("main");
    const etc = path.join(server.root, "etc");
    writeFileSync(path.join(etc, "datastore.cfg"), section("datastore", STORE, { path: store }), { mode: 0o640 });
    writeFileSync(path.join(etc, "remote.cfg"), remotes(), { mode: 0o640 });
    writeFileSync(path.join(etc, "sync.cfg"), jobs(), { mode: 0o640 });
    return new LargeServer(folder, server);
  }

  async stop(): Promise<void> {
    await this.server.stop();
    this.server.forget();
    removeFolder(this.folder);
  }
}

/** The groups are vm/1000 to vm/1599, ct/1600 to ct/1799 and host/host-1800 to host/host-1999. */
function groupOf(number: number): [type: string, id: string] {
  if (number < 600) return ["vm", String(1000 + number)];
  if (number < 800) return ["ct", String(1000 + number)];
  return ["host", `host-${1000 + number}`];
}

function writeStore(store: string): void {
  mkdirSync(path.join(store, ".chunks"), { recursive: true, mode: 0o750 });
  writeFileSync(path.join(store, ".lock"), "");
  for (let number = 0; number < GROUPS; number += 1) {
    const [type, id] = groupOf(number);
    const group = path.join(store, type, id);
    mkdirSync(group, { recursive: true });
    writeFileSync(path.join(group, "owner"), `${ADMIN}\n`);
    for (let age = 0; age < SNAPSHOTS_PER_GROUP; age += 1) {
      const time = NEWEST - age * DAY_SECONDS;
      const snapshot = path.join(group, new Date(time * 1000).toISOString().replace(".000Z", "Z"));
      mkdirSync(snapshot);
      writeFileSync(path.join(snapshot, "index.json.blob"), manifest(type, id, time, number));
    }
  }
}

/** A manifest in its container: magic number, CRC-32 of the rest, and the text. */
function manifest(type: string, id: string, time: number, number: number): Buffer {
  const file = {
    "crypt-mode": "none",
    csum: createHash("sha256").update(id).digest("hex"),
    filename: "drive-scsi0.img.fidx",
    size: (1 + (number % 50)) * 512 * MEBIBYTE,
  };
  const content = {
    "backup-id": id,
    "backup-time": time,
    "backup-type": type,
    files: [file],
    signature: null,
    unprotected: { notes: `machine ${number}` },
  };
  const text = Buffer.from(JSON.stringify(content));
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32LE(crc32(text));
  return Buffer.concat([PLAIN_BLOB, checksum, text]);
}

function section(type: string, id: string, properties: Record<string, string | number>): string {
  const lines = Object.keys(properties)
    .sort()
    .map((key) => `\t${key} ${properties[key]}\n`);
  return `${type}: ${id}\n${lines.join("")}`;
}

/** Five remotes that nobody answers at: the port is that for discarding. */
function remotes(): string {
  const one = (name: string): string =>
    section("remote", name, { "auth-id": "sync@pbs", host: "127.0.0.1", password: btoa("secret"), port: 9 });
  return ["site-a", "site-b", "site-c", "site-d", "site-e"].map(one).join("\n");
}

function jobs(): string {
  return Array.from({ length: JOBS }, (_, number) =>
    section("sync", `job-${String(number).padStart(3, "0")}`, {
      comment: `copy number ${number}`,
      ns: `tenant-${number % 25}`,
      owner: ADMIN,
      remote: `site-${"abcde"[number % 5]}`,
      "remote-store": "vault",
      // Not due while the tests run, whatever the hour: once a year.
      schedule: "*-02-29 03:00",
      store: STORE,
      "sync-direction": number % 3 === 0 ? "push" : "pull",
    }),
  ).join("\n");
}
