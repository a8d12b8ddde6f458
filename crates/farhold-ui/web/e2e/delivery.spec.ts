/** How the interface comes to the browser: how much of it, with which headers, and through a reverse proxy. */
import { readFileSync } from "node:fs";
import { createServer, request as forward, type Server as Proxy } from "node:https";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { gzipSync } from "node:zlib";

import { ADMIN, call, PASSWORD, type Server } from "./server";
import { expect, login, test } from "./fixtures";

/** What the first look may cost, compressed, in bytes. */
const FIRST_LOAD_BYTES = 400 * 1024;

test("the first look costs less than 400 KiB", async ({ page, plain }) => {
  const sizes = new Map<string, number>();
  const bodies: Promise<void>[] = [];
  page.on("response", (answer) => {
    const { pathname } = new URL(answer.url());
    if (pathname.startsWith("/api2")) return;
    bodies.push(answer.body().then((body) => void sizes.set(pathname, gzipSync(body).length)));
  });
  await login(page, plain);
  await page.waitForLoadState("networkidle");
  await Promise.all(bodies);
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  console.log(`first look: ${sizes.size} files, ${Math.ceil(total / 1024)} KiB compressed`);
  expect(sizes.size).toBeGreaterThan(2);
  expect(total).toBeLessThan(FIRST_LOAD_BYTES);
});

test("the page may be kept by nobody and framed by nobody, its parts forever", async ({ plain }) => {
  test.skip(process.env.FARHOLD_UI_DIST !== undefined, "the files do not come from the server");
  const index = await call(`${plain.url}/`);
  expect(index.status).toBe(200);
  expect(index.headers["cache-control"]).toContain("no-cache");
  expect(index.headers["x-content-type-options"]).toBe("nosniff");
  expect(index.headers["referrer-policy"]).toBe("no-referrer");
  const policy = String(index.headers["content-security-policy"]);
  for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]) {
    expect(policy).toContain(part);
  }
  expect(policy, "nothing inline, nothing made from text").not.toMatch(/unsafe-/);
  const nonce = /'nonce-([^']+)'/.exec(policy)?.[1];
  expect(index.body).toContain(`content="${nonce}"`);
  const again = await call(`${plain.url}/`);
  expect(again.body, "the value is used once").not.toContain(`content="${nonce}"`);

  const script = /src="\.\/(assets\/[^"]+\.js)"/.exec(index.body)?.[1];
  const asset = await call(`${plain.url}/${script}`, "GET", { "accept-encoding": "gzip" });
  expect(asset.status).toBe(200);
  expect(asset.headers["cache-control"]).toMatch(/max-age=31536000.*immutable/);
  expect(asset.headers["content-encoding"]).toBe("gzip");
  expect(asset.headers["content-type"]).toContain("javascript");
});

test("works below a path of a reverse proxy", async ({ page, plain }) => {
  const proxy = await startProxy(plain, "/backup");
  const { port } = proxy.address() as AddressInfo;
  try {
    await page.goto(`https://127.0.0.1:${port}/backup/`);
    await page.getByLabel("User name").fill(ADMIN);
    await page.getByLabel(/^Password/).fill(PASSWORD);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("link", { name: "Remotes" }).click();
    await expect(page.getByRole("heading", { name: "Remotes" })).toBeVisible();
    await page.reload();
    await expect(page.getByRole("heading", { name: "Remotes" })).toBeVisible();
    expect(new URL(page.url()).pathname).toBe("/backup/");
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
});

/** Hands on what comes below `prefix`, without it; everything else is not found. */
function startProxy(server: Server, prefix: string): Promise<Proxy> {
  const file = (name: string): Buffer => readFileSync(path.join(server.root, "etc", name));
  const proxy = createServer({ key: file("proxy.key"), cert: file("proxy.pem") }, (asked, answer) => {
    if (!asked.url?.startsWith(`${prefix}/`)) {
      answer.writeHead(404).end();
      return;
    }
    const onward = forward(
      `${server.url}${asked.url.slice(prefix.length)}`,
      { method: asked.method, headers: asked.headers, rejectUnauthorized: false },
      (answered) => {
        answer.writeHead(answered.statusCode ?? 502, answered.headers);
        answered.pipe(answer);
      },
    );
    onward.on("error", () => answer.destroy());
    asked.pipe(onward);
  });
  return new Promise((resolve) => proxy.listen(0, "127.0.0.1", () => resolve(proxy)));
}
