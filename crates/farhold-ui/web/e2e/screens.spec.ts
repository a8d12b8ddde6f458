/**
 * Each main screen at the width of a desktop and of a phone, light and dark: no serious finding of axe, nothing that
 * scrolls sideways, and the same picture as the one in `pictures/`. The data is made up, so that it is always the same.
 *
 * `npx playwright test screens --update-snapshots` draws the pictures anew.
 */
import { readFileSync } from "node:fs";
import path from "node:path";

import { openMadeUp } from "./madeup/api";
import { RUNNING } from "./madeup/jobs";
import { act } from "./forms";
import { DOCUMENTS, PICTURES, SHOWN } from "./pictures";
import { expect, expectAxeClean, shot, test, type Page } from "./fixtures";

interface Screen {
  name: string;
  place: string;
  /** What is done before the picture is taken, such as opening a dialog. */
  prepare?: (page: Page) => Promise<void>;
}

const SCREENS: Screen[] = [
  { name: "dashboard", place: "/" },
  { name: "remotes", place: "/config/remotes" },
  { name: "probe", place: "/config/remotes", prepare: (page) => act(page, "site-b", "Probe") },
  { name: "access", place: "/config/access" },
  { name: "keys", place: "/config/keys" },
  { name: "traffic", place: "/config/traffic" },
  { name: "notifications", place: "/config/notifications" },
  { name: "certificate", place: "/config/certificate" },
  { name: "datastores", place: "/datastores" },
  { name: "summary", place: "/datastore/tank/summary" },
  { name: "content", place: "/datastore/tank/content" },
  { name: "sync-jobs", place: "/datastore/tank/sync" },
  { name: "sync-editor", place: "/datastore/tank/sync", prepare: (page) => act(page, "pull-site-b", "Edit") },
  { name: "plan", place: "/datastore/tank/sync", prepare: (page) => act(page, "pull-site-b", "Dry run") },
  { name: "sync-runs", place: "/datastore/longterm/sync", prepare: (page) => page.getByText("pull-archive").click() },
  { name: "prune", place: "/datastore/tank/prune" },
  { name: "verify", place: "/datastore/tank/verify" },
  { name: "options", place: "/datastore/tank/options" },
  { name: "permissions", place: "/datastore/tank/permissions" },
  { name: "jobs", place: "/jobs" },
  { name: "tasks", place: "/tasks" },
  { name: "task", place: `/tasks?task=${encodeURIComponent(RUNNING)}` },
];

/** Of a picture in the documents. */
const MOST_BYTES = 150 * 1024;

const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
const COLOURS = ["light", "dark"] as const;

for (const { name, place, prepare } of SCREENS) {
  test(name, async ({ page, plain, faults }) => {
    for (const [size, viewport] of Object.entries(SIZES)) {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme: "light" });
      if (size === "desktop") await openMadeUp(page, plain, faults, place);
      else await page.reload();
      await expect(page.locator("main h1, main h2, [role=dialog] h2").first()).toBeVisible();
      await page.waitForLoadState("networkidle");
      if (prepare) {
        await prepare(page);
        await expect(page.getByRole("dialog")).toBeVisible();
        await page.waitForLoadState("networkidle");
      }
      // Nothing below the pointer.
      await page.mouse.move(0, 0);
      for (const colours of COLOURS) {
        await page.emulateMedia({ colorScheme: colours });
        // Both sizes and both schemes; what only both together could show costs too much time to be looked for.
        if (size === "desktop" || colours === "light") await expectAxeClean(page);
        await shot(page, `${name}-${size}-${colours}`);
      }
      await expectNoSidewaysScroll(page);
    }
  });
}

test("the documents show the same pictures", () => {
  test.skip(["all", "changed"].includes(test.info().config.updateSnapshots), "they are drawn at the moment");
  for (const name of SHOWN) {
    const shown = readFileSync(path.join(DOCUMENTS, `${name}.png`));
    expect(shown.equals(readFileSync(path.join(PICTURES, `${name}.png`))), name).toBe(true);
    expect(shown.length, name).toBeLessThan(MOST_BYTES);
  }
});

async function expectNoSidewaysScroll(page: Page): Promise<void> {
  const tooWide = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    return [...document.querySelectorAll("body *")]
      .filter((element) => element.getBoundingClientRect().right > width + 1)
      .slice(-3)
      .map((element) => element.outerHTML.slice(0, 120));
  });
  expect(tooWide, "wider than the window").toEqual([]);
}
