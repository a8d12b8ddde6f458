/** What keeps datastores in order: prune, verify and garbage-collection jobs, options, and datastores themselves. */
import path from "node:path";

import { expect, expectAxeClean, login, test, type Page } from "./fixtures";
import { openMadeUp } from "./madeup/api";
import { GOLDEN } from "./scene";

/** Opens a row's menu and chooses from it. */
async function choose(page: Page, row: string, action: string): Promise<void> {
  await page.getByRole("button", { name: `Actions for ${row}`, exact: true }).click();
  await page.getByRole("menuitem", { name: action }).click();
}

/** Types the name that a removal asks for, and confirms. */
async function confirm(page: Page, name: string, button: string): Promise<void> {
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel(`Type ${name} to go on`).fill(name);
  await dialog.getByRole("button", { name: button }).click();
}

test("a prune job shows what it would remove, and half a success is not done twice", async ({ page, scene }) => {
  const { source } = scene;
  await login(page, source);
  await page.goto(`${source.url}/#/datastore/${GOLDEN}/prune`);
  const dialog = page.getByRole("dialog");

  await page.getByRole("button", { name: "Add prune job" }).click();
  await dialog.getByRole("textbox", { name: "Job ID" }).fill("keep-one");
  await dialog.getByLabel("Keep last").fill("1");
  await expect(dialog).toContainText("Kept of each group: the newest snapshot.");
  await dialog.getByRole("button", { name: "Preview" }).click();
  await expect(dialog.getByText(/^\d+ of \d+ snapshots would be removed/)).toBeVisible();
  await dialog.getByLabel("Only what goes").check();
  await expect(dialog.getByRole("row", { name: /stays/ })).toHaveCount(0);
  await expectAxeClean(page);

  await dialog.getByLabel("Warn without success for").fill("soon");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await expect(dialog, "the server's words stand at the field").toContainText("expected a number");
  await dialog.getByLabel("Warn without success for").fill("26h");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await expect(dialog).toBeHidden();
  const jobs = await source.api<Record<string, unknown>[]>("GET", "/config/prune");
  expect(jobs).toEqual([{ id: "keep-one", store: GOLDEN, schedule: "daily", "keep-last": 1 }]);
  expect(await source.api("GET", "/farhold/job-options/prune/keep-one")).toMatchObject({ "stale-after": "1d 2h" });

  await choose(page, "keep-one", "Edit");
  await dialog.getByLabel("Keep last").fill("");
  await dialog.getByLabel("Keep yearly").fill("9");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(dialog).toBeHidden();
  expect(await source.api("GET", "/config/prune/keep-one")).toMatchObject({ "keep-yearly": 9 });
  expect(await source.api("GET", "/config/prune/keep-one")).not.toHaveProperty("keep-last");

  await choose(page, "keep-one", "Remove");
  await confirm(page, "keep-one", "Remove");
  await expect(page.getByText("There are no prune jobs yet.")).toBeVisible();
});

test("a datastore is added, taken out of use, looked after, and removed with its backups", async ({ page, scene }) => {
  const { copy } = scene;
  await login(page, copy);
  await page.goto(`${copy.url}/#/datastores`);
  const dialog = page.getByRole("dialog");

  await page.getByRole("button", { name: "Add datastore" }).click();
  await dialog.getByRole("textbox", { name: "Name" }).fill("shelf");
  await dialog.getByRole("textbox", { name: "Path" }).fill(path.join(scene.folder, "stores", "shelf"));
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await expect(dialog, "the task's log is shown").toContainText("TASK OK", { timeout: 20_000 });
  await page.keyboard.press("Escape");

  await page.goto(`${copy.url}/#/datastore/shelf/options`);
  await page.getByRole("button", { name: "Edit: Maintenance mode" }).click();
  await dialog.getByRole("combobox", { name: "Maintenance mode" }).click();
  await page.getByRole("option", { name: /^Read-only/ }).click();
  await dialog.getByRole("textbox", { name: "Message" }).fill("disks, 100 % full");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("disks, 100 % full")).toBeVisible();
  await expectAxeClean(page);
  await page.getByRole("button", { name: "Edit: Maintenance mode" }).click();
  await dialog.getByRole("combobox", { name: "Maintenance mode" }).click();
  await page.getByRole("option", { name: /^None/ }).click();
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("None: the datastore works as usual")).toBeVisible();

  await page.getByRole("tab", { name: "Prune & GC" }).click();
  await page.getByRole("button", { name: "Start garbage collection" }).click();
  await expect(dialog).toContainText("TASK OK", { timeout: 20_000 });
  await page.keyboard.press("Escape");

  await page.goto(`${copy.url}/#/datastores`);
  await choose(page, "shelf", "Remove datastore");
  await dialog.getByLabel("are destroyed, for good").check();
  await expect(dialog).toContainText("DESTROYED: 0 snapshots in 0 groups");
  await confirm(page, "shelf", "Remove datastore");
  await expect(dialog).toContainText("TASK OK", { timeout: 20_000 });
  expect(await copy.api<{ name: string }[]>("GET", "/config/datastore")).not.toContainEqual(
    expect.objectContaining({ name: "shelf" }),
  );
});

test("a datastore whose device is away says so and offers to mount it, without failures", async ({
  page,
  plain,
  faults,
}) => {
  await openMadeUp(page, plain, faults, "/datastore/shelf/content");
  const away = page.getByRole("region", { name: "The device is not mounted" });
  await expect(away.getByRole("button", { name: "Mount" })).toBeVisible();
  await expect(page.getByRole("alert")).toHaveCount(0);
  await expectAxeClean(page);
});
