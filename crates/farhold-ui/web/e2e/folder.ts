/** Where the servers of the tests live: in memory if there is room, since datastores consist of very many folders. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { decompress } from "fzstd";

/** Free memory from which it is used for files, in bytes: two datastores with their content take a tenth of it. */
const ROOM = 3 * 2 ** 30;
const IN_MEMORY = "/dev/shm";

const GOLDEN = path.resolve(import.meta.dirname, "../../../../tests/golden");

/** Makes a new folder that `removeFolder` takes away again, at the latest the end of the process. */
export function makeFolder(name: string): string {
  const folder = mkdtempSync(path.join(hasRoom(IN_MEMORY) ? IN_MEMORY : tmpdir(), `farhold-${name}-`));
  process.once("exit", () => removeFolder(folder));
  return folder;
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}

function hasRoom(folder: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize > ROOM;
  } catch {
    return false;
  }
}

/** Unpacks the recorded datastore below `folder`; the archive lacks the empty folders for chunks. Returns its path. */
export function unpackGolden(folder: string): string {
  mkdirSync(folder, { recursive: true });
  const archive = decompress(readFileSync(path.join(GOLDEN, "golden.tar.zst")));
  execFileSync("tar", ["-x", "-C", folder], { input: archive });
  const store = path.join(folder, "golden");
  const chunks = path.join(store, ".chunks");
  const prefixes = Array.from({ length: 65_536 }, (_, number) => number.toString(16).padStart(4, "0"));
  for (const name of [chunks, ...prefixes.map((prefix) => path.join(chunks, prefix))]) {
    mkdirSync(name, { recursive: true });
    chmodSync(name, 0o750);
  }
  writeFileSync(path.join(store, ".lock"), "");
  return store;
}
