/** The dashboard and the summary of a datastore: how jobs do, what failed, the fingerprint, and who sees what. */
import { COPY, GOLDEN, NOBODY, type Scene } from "./scene";
import { expect, expectAxeClean, login, test } from "./fixtures";

const NS = "dash";
const REMOTE = "dash-source";

interface Job {
  id: string;
  remoteStore: string;
}

const FINE: Job = { id: "dash-fine", remoteStore: GOLDEN };
const BROKEN: Job = { id: "dash-broken", remoteStore: "missing" };
const IDLE: Job = { id: "dash-idle", remoteStore: GOLDEN };

async function furnish({ copy }: Scene): Promise<void> {
  await copy.api("POST", `/admin/datastore/${COPY}/namespace`, { name: NS });
  for (const { id, remoteStore } of [FINE, BROKEN, IDLE]) {
    await copy.api("POST", "/config/sync", {
      ...{ id, store: COPY, ns: NS, remote: REMOTE },
      ...{ "remote-store": remoteStore, "group-filter": ["type:host"], "max-depth": 0 },
    });
  }
  await copy.api("PUT", `/farhold/job-options/sync/${IDLE.id}`, { "stale-after": "1h" });
}

async function clear({ copy }: Scene): Promise<void> {
  for (const { id } of [FINE, BROKEN, IDLE]) await copy.api("DELETE", `/config/sync/${id}`);
  await copy.api("DELETE", `/config/remote/${REMOTE}`);
  await copy.api("DELETE", `/admin/datastore/${COPY}/namespace`, { ns: NS, "delete-groups": true });
}

test("tells which jobs need attention, why, and how their runs went", async ({ page, scene, faults }) => {
  // The server logs what a task failed with.
  faults.allow(/datastore\/missing/);
  await scene.remote(REMOTE);
  await furnish(scene);
  await login(page, scene.copy);
  const row = (id: string) =>
    page.getByRole("table", { name: "Sync jobs, the worst first" }).getByRole("row", { name: id });
  await expect(row(FINE.id)).toContainText("never ran");
  await expect(row(IDLE.id)).toContainText("no success yet");
  await expect(row(IDLE.id)).toContainText("limit 1h");

  for (const { id } of [BROKEN, FINE]) {
    await scene.copy.wait(await scene.copy.api<string>("POST", `/admin/sync/${id}/run`));
  }
  await page.reload();
  await expect(row(FINE.id)).toContainText("✓\u00a0fine");
  await expect(row(BROKEN.id)).toContainText("✕\u00a0failed");
  const places = await Promise.all(
    [BROKEN, IDLE, FINE].map(({ id }) => row(id).evaluate((element) => (element as HTMLTableRowElement).rowIndex)),
  );
  expect(places, "the worst stand first").toEqual([...places].sort((a, b) => a - b));

  await page.getByRole("table", { name: "Tasks that failed" }).getByRole("row", { name: BROKEN.id }).first().click();
  await expect(page.getByRole("dialog")).toContainText("missing");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toBeHidden();

  await row(FINE.id).focus();
  await page.keyboard.press("Enter");
  const job = page.getByRole("dialog", { name: `Sync: ${FINE.id}` });
  await expect(job).toContainText("1 run is kept, none of them failed.");
  await expect(job.getByRole("img", { name: /^Throughput of each run/ })).toBeVisible();
  await expect(job.getByRole("table", { name: `Runs of ${FINE.id}` }).getByRole("row")).toHaveCount(2);
  await expectAxeClean(page);
  await job.getByRole("link", { name: "Go to the job" }).click();
  await expect(page).toHaveURL(new RegExp(`#/datastore/${COPY}/sync`));

  await page.getByRole("tab", { name: "Summary" }).click();
  const content = page.getByRole("region", { name: "Content" });
  await expect(content.getByRole("row", { name: "Hosts" })).toBeVisible();
  const samples = page.waitForRequest(/\/rrd\?.*timeframe=month/);
  await page.getByRole("combobox", { name: "Time", exact: true }).click();
  await page.getByRole("option", { name: "Month" }).click();
  await samples;
  await expectAxeClean(page);
  await clear(scene);
});

test("shows the fingerprint to be carried elsewhere", async ({ page, plain }) => {
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await login(page, plain);
  await page.getByRole("button", { name: "Show fingerprint" }).click();
  const dialog = page.getByRole("dialog", { name: "Fingerprint" });
  await expect(dialog).toContainText(plain.fingerprint);
  await dialog.getByRole("button", { name: "Copy: Fingerprint" }).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(plain.fingerprint);
  await expectAxeClean(page);
});

test("is of use to somebody without any right", async ({ page, scene }) => {
  await login(page, scene.copy, NOBODY);
  await expect(page.getByText("There are no sync jobs that you may see.")).toBeVisible();
  await expect(page.getByRole("alert")).toHaveCount(0);
  await page.getByRole("button", { name: "Show fingerprint" }).click();
  await expect(page.getByRole("dialog")).toContainText("needs Sys.Audit on /system/status");
});
