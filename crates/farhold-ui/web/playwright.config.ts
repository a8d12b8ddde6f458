/**
 * End-to-end tests: Debian's Chromium, headless, against servers that the tests start themselves.
 *
 * FARHOLD_BIN names the program, CHROMIUM another browser. `npx playwright test --ui` does not work here; the report is
 * the list on the terminal, and what is left of a failed test lies in `test-results/`.
 */
import { defineConfig } from "@playwright/test";

/** None of these may reach for the network on its own: the tests count every request that leaves the server's origin. */
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Text is drawn alike on all machines: no subpixels, no hinting by the machine's settings.
  "--font-render-hinting=none",
  "--disable-lcd-text",
  "--force-color-profile=srgb",
];

export default defineConfig({
  testDir: "e2e",
  outputDir: "test-results",
  globalTeardown: "./e2e/pictures.ts",
  // The machine has two cores: one for the browser, one for the servers.
  workers: 1,
  fullyParallel: false,
  forbidOnly: process.env.CI !== undefined,
  // One that succeeds the second time, with servers of its own, is told as flaky: a flaw still, but none of this change.
  retries: 1,
  timeout: 60_000,
  globalTimeout: 20 * 60_000,
  maxFailures: 15,
  reporter: [["list"]],
  snapshotPathTemplate: "{testDir}/pictures/{arg}{ext}",
  expect: { timeout: 15_000 },
  use: {
    ignoreHTTPSErrors: true,
    locale: "en-GB",
    timezoneId: "UTC",
    viewport: { width: 1280, height: 800 },
    colorScheme: "light",
    reducedMotion: "reduce",
    screenshot: "only-on-failure",
    trace: process.env.FARHOLD_TRACE ? "retain-on-failure" : "off",
    actionTimeout: 15_000,
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ARGUMENTS,
      env: { ...(process.env as Record<string, string>), FONTCONFIG_FILE: `${import.meta.dirname}/e2e/fonts.conf` },
    },
  },
});
