/**
 * 1,000 backup groups with 20 snapshots each, and 500 jobs: no request per row, no row that is out of sight, and the times
 * that it takes. Times are printed, not asserted: they say as much about the machine as about the program.
 */
import { expect, login, test, type Locator, type Page } from "./fixtures";
import { GROUPS, JOBS, SNAPSHOTS_PER_GROUP, STORE } from "./large";
import { Meter } from "./meter";

/** A debug build takes its time for 20,000 snapshots, and more of it on a busy machine. */
const PATIENTLY = { timeout: 40_000 };
/** A table draws what is in sight and a little more; the window is 800 pixels high. */
const MOST_ROWS = 60;
/** What a page asks for when it is opened, whatever the number of rows. */
const MOST_CALLS = 20;

const SNAPSHOTS = GROUPS * SNAPSHOTS_PER_GROUP;

test("20,000 snapshots open, scroll and filter", async ({ page, large }) => {
  test.slow();
  const meter = await Meter.attach(page);
  await login(page, large);
  const table = page.getByRole("treegrid", { name: "Backups" });

  const opened = await meter.during("content: first rows", async () => {
    await page.goto(`${large.url}/#/datastore/${STORE}/content`);
    await expect(table.getByRole("row").nth(5)).toBeVisible(PATIENTLY);
  });
  // A program that was built for debugging reads so many manifests for seconds.
  await expect(page.getByText(`${GROUPS} groups, ${SNAPSHOTS} snapshots`)).toBeVisible({ timeout: 30_000 });
  expect(opened.calls.length, opened.calls.join("\n")).toBeLessThan(MOST_CALLS);

  const unfolded = await meter.during("content: open all groups", async () => {
    await page.getByRole("button", { name: "Open all" }).click();
    await expect(table).toHaveAttribute("aria-rowcount", String(GROUPS + SNAPSHOTS + 1));
  });
  expectNoListCalls(unfolded.calls);
  await expectFewRows(table);

  const scrolled = await meter.during("content: scroll 40 screens", () => scroll(page, table, 40));
  expectNoListCalls(scrolled.calls);
  await expectFewRows(table);

  const filtered = await meter.during("content: filter letter by letter", async () => {
    await page.getByLabel("Filter backups").pressSequentially("host-1999");
    await expect(page.getByText("1 group, 20 snapshots")).toBeVisible();
  });
  expectNoListCalls(filtered.calls);
  await expect(table).toHaveAttribute("aria-rowcount", "22");

  const cleared = await meter.during("content: clear the filter", async () => {
    await page.getByRole("button", { name: "Clear filter" }).click();
    await expect(table).toHaveAttribute("aria-rowcount", String(GROUPS + SNAPSHOTS + 1));
  });
  expectNoListCalls(cleared.calls);
  await expectFewRows(table);
});

test("500 jobs are listed, filtered and judged", async ({ page, large }) => {
  const meter = await Meter.attach(page);
  await login(page, large);
  const table = page.getByRole("table", { name: "Sync jobs" });

  const opened = await meter.during("jobs: first rows", async () => {
    await page.goto(`${large.url}/#/jobs`);
    await expect(table.getByRole("row").nth(5)).toBeVisible(PATIENTLY);
  });
  expect(opened.calls.length, opened.calls.join("\n")).toBeLessThan(MOST_CALLS);
  await expect(table).toHaveAttribute("aria-rowcount", String(JOBS + 1));
  await expectFewRows(table);

  const scrolled = await meter.during("jobs: scroll 30 screens", () => scroll(page, table, 30));
  expectNoListCalls(scrolled.calls);
  await expectFewRows(table);

  const filtered = await meter.during("jobs: filter letter by letter", async () => {
    await page.getByLabel("Filter: Sync jobs").pressSequentially("number 499");
    await expect(table).toHaveAttribute("aria-rowcount", "2");
  });
  expectNoListCalls(filtered.calls);

  const judged = await meter.during("dashboard: with 500 jobs", async () => {
    await page.goto(`${large.url}/#/`);
    await expect(page.getByRole("row", { name: /job-000/ })).toBeVisible();
  });
  expect(judged.calls.length, judged.calls.join("\n")).toBeLessThan(MOST_CALLS);
  expect(await page.locator("main tbody tr").count()).toBeLessThan(2 * MOST_ROWS);
});

function expectNoListCalls(calls: string[]): void {
  expect(calls.filter((call) => call.startsWith("GET /admin/datastore/") || call.includes("/config/"))).toEqual([]);
}

async function expectFewRows(table: Locator): Promise<void> {
  expect(await table.locator("tbody tr").count(), "rows that are drawn").toBeLessThan(MOST_ROWS);
}

async function scroll(page: Page, table: Locator, screens: number): Promise<void> {
  await table.hover();
  for (let screen = 0; screen < screens; screen += 1) {
    await page.mouse.wheel(0, 600);
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  }
}
