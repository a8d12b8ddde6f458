// Writes a `.gz` file beside every built file that gets smaller by it, and fails if the first load is too large.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/** Most bytes that a browser loads, compressed, before the first screen can be drawn. */
const FIRST_LOAD_BYTES = 400 * 1024;

const dist = new URL("../dist/", import.meta.url).pathname;

function* files(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* files(path);
    else if (!path.endsWith(".gz")) yield path;
  }
}

const sizes = new Map();
for (const path of files(dist)) {
  const content = readFileSync(path);
  const packed = gzipSync(content, { level: 9 });
  const isSmaller = packed.length < content.length * 0.95;
  if (isSmaller && !path.endsWith("index.html")) writeFileSync(`${path}.gz`, packed);
  sizes.set(path.slice(dist.length), isSmaller ? packed.length : content.length);
}

// What the index names itself is loaded first; everything else comes when a screen asks for it.
const index = readFileSync(join(dist, "index.html"), "utf8");
const first = [...sizes].filter(([name]) => name === "index.html" || index.includes(name));
const total = first.reduce((sum, [, size]) => sum + size, 0);
const all = [...sizes.values()].reduce((sum, size) => sum + size, 0);
console.log(`first load: ${(total / 1024).toFixed(0)} KiB compressed; all files: ${(all / 1024).toFixed(0)} KiB`);
if (total > FIRST_LOAD_BYTES) {
  console.error(`the first load is larger than ${FIRST_LOAD_BYTES / 1024} KiB`);
  process.exit(1);
}
