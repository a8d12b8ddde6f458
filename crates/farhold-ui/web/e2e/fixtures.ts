/**
 * What every end-to-end test is made with. A test fails, whatever it looks at, if the page logs an error or throws, if
 * the content security policy is violated, if a request leaves the server's origin, if the server answers with 5xx, or
 * if a server's log tells of a fault of the program.
 */
import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import path from "node:path";

import { AxeBuilder } from "@axe-core/playwright";
import { test as base, expect, type BrowserContext, type Locator, type Page } from "@playwright/test";

import { makeFolder, removeFolder } from "./folder";
import { LargeServer } from "./large";
import { Scene } from "./scene";
import { ADMIN, PASSWORD, Server } from "./server";

export { expect } from "@playwright/test";
export type { Locator, Page } from "@playwright/test";

/** Chromium logs each refused request as an error of the page. Refusals are answers; 5xx are counted by themselves. */
const REFUSED = /^Failed to load resource: the server responded with a status of \d+/;

/** What the test at hand did that no test may do, as texts. */
export class Faults {
  private readonly found: string[] = [];
  private readonly allowed: RegExp[] = [];
  private readonly origins = new Set<string>();

  /** Takes out what this test provokes on purpose. */
  allow(...patterns: RegExp[]): void {
    this.allowed.push(...patterns);
  }

  /** Takes an origin besides that of the first page for the server's. */
  allowOrigin(url: string): void {
    this.origins.add(new URL(url).origin);
  }

  report(text: string): void {
    this.found.push(text);
  }

  all(): string[] {
    return this.found.filter((text) => !this.allowed.some((pattern) => pattern.test(text)));
  }

  async watch(context: BrowserContext): Promise<void> {
    context.on("console", (message) => {
      if (message.type() === "error" && !REFUSED.test(message.text())) {
        this.report(`console: ${message.text()} (${message.location().url})`);
      }
    });
    context.on("weberror", (error) => this.report(`page error: ${error.error().stack ?? error.error().message}`));
    context.on("request", (request) => {
      const { origin, protocol } = new URL(request.url());
      if (protocol === "data:" || protocol === "blob:" || protocol === "about:") return;
      if (this.origins.size === 0) this.origins.add(origin);
      if (!this.origins.has(origin)) this.report(`request to another origin: ${request.url()}`);
    });
    context.on("response", (answer) => {
      if (answer.status() >= 500) {
        this.report(`answer ${answer.status()}: ${answer.request().method()} ${answer.url()}`);
      }
    });
    await context.exposeBinding("reportViolation", (_, text: string) => this.report(`policy: ${text}`));
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        const { reportViolation } = window as unknown as { reportViolation: (text: string) => void };
        reportViolation(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
      });
    });
  }
}

interface TestFixtures {
  faults: Faults;
}

interface WorkerFixtures {
  /** The two servers of the flows; see `scene.ts`. */
  scene: Scene;
  /** A server without datastores, for pages whose data is made up. */
  plain: Server;
  /** A server with very much to list; see `large.ts`. */
  large: Server;
}

export const test = base.extend<TestFixtures, WorkerFixtures>({
  scene: [
    async ({}, use) => {
      const scene = await Scene.build();
      await use(scene);
      await scene.stop();
    },
    { scope: "worker", timeout: 120_000 },
  ],

  plain: [
    async ({}, use) => {
      const folder = makeFolder("plain");
      const server = await Server.start(path.join(folder, "server"));
      await server.user(ADMIN, "Admin");
      await server.token("main");
      await use(server);
      await server.stop();
      server.forget();
      removeFolder(folder);
    },
    { scope: "worker", timeout: 120_000 },
  ],

  large: [
    async ({}, use) => {
      const large = await LargeServer.build();
      await use(large.server);
      await large.stop();
    },
    { scope: "worker", timeout: 120_000 },
  ],

  faults: [
    async ({ context }, use, info) => {
      if (process.env.FARHOLD_UI_DIST) await serveFrom(path.resolve(process.env.FARHOLD_UI_DIST), context);
      const faults = new Faults();
      await faults.watch(context);
      const logged = new Map([...Server.all].map((server) => [server, server.log().length]));
      await use(faults);
      for (const server of Server.all) {
        for (const line of server.faults(logged.get(server))) faults.report(`log of the server: ${line}`);
      }
      const all = faults.all();
      if (info.status !== info.expectedStatus || all.length > 0) keepLogs(info.outputPath());
      expect(all, "faults besides what the test looks at").toEqual([]);
    },
    { auto: true },
  ],
});

const CONTENT_TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/**
 * Answers for the interface's own files from a folder, with the policy that the server sends: so that a change of the
 * interface can be tried without building the program.
 */
async function serveFrom(dist: string, context: BrowserContext): Promise<void> {
  const place = /\/(assets\/[^/]+)?$/;
  await context.route(
    (url) => place.test(url.pathname),
    (route) => {
      const { pathname } = new URL(route.request().url());
      const name = place.exec(pathname)?.[1] ?? "index.html";
      const file = path.join(dist, name);
      if (!existsSync(file)) return route.fulfill({ status: 404, body: "" });
      const headers: Record<string, string> = { "content-type": CONTENT_TYPES[path.extname(file)] ?? "text/plain" };
      if (name !== "index.html") return route.fulfill({ body: readFileSync(file), headers });
      const nonce = randomBytes(16).toString("base64");
      headers["content-security-policy"] =
        `default-src 'none'; script-src 'self'; style-src 'self' 'nonce-${nonce}'; img-src 'self' data:; ` +
        `font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
      return route.fulfill({ body: readFileSync(file, "utf8").replaceAll("__CSP_NONCE__", nonce), headers });
    },
  );
}

function keepLogs(folder: string): void {
  for (const server of Server.all) {
    if (existsSync(server.logFile)) copyFileSync(server.logFile, path.join(folder, `${server.name}.log`));
  }
}

/** Opens the interface of `server` and logs in; returns when the interface stands. */
export async function login(page: Page, server: Server, user = ADMIN, password = PASSWORD): Promise<void> {
  await page.goto(server.url);
  await page.getByLabel("User name").fill(user);
  await page.getByLabel(/^Password/).fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("navigation").first()).toBeVisible();
}

/** No serious or critical finding of axe on what is shown now. */
export async function expectAxeClean(page: Page): Promise<void> {
  // Half-way from one colour to another nothing has the contrast it is meant to have.
  await page.evaluate(async () => {
    const changes = document.getAnimations().filter((animation) => animation instanceof CSSTransition);
    await Promise.allSettled(changes.map((change) => change.finished));
  });
  const { violations } = await new AxeBuilder({ page }).setLegacyMode(true).analyze();
  const grave = violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => `${id} (${help}): ${nodes.map((node) => node.target.join(" ")).join(", ")}`);
  expect(grave, `accessibility of ${page.url()}`).toEqual([]);
}

/**
 * The page looks as in `pictures/`. A little may differ: another version of the browser draws edges in other shades.
 */
export async function shot(page: Page, name: string, mask: Locator[] = []): Promise<void> {
  await expect(page).toHaveScreenshot(`${name}.png`, {
    mask,
    animations: "disabled",
    threshold: 0.25,
    maxDiffPixelRatio: 0.005,
  });
}
