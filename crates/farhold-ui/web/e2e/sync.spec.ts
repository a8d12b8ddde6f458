/** Sync jobs from the form to the log: every main action on the two servers of the scene. */
import { AUDITOR, COPY, GOLDEN, READER, WRITER } from "./scene";
import { PASSWORD } from "./server";
import { expect, expectAxeClean, login, test, type Locator, type Page } from "./fixtures";

/** Opens a choice and takes one of its options. */
async function choose(within: Locator, page: Page, name: string, option: string | RegExp): Promise<void> {
  await within.getByRole("combobox", { name, exact: true }).click();
  await page.getByRole("option", { name: option }).click();
}

async function act(page: Page, job: string, action: string): Promise<void> {
  await page.getByRole("button", { name: `Actions for ${job}` }).click();
  await page.getByRole("menuitem", { name: action }).click();
}

test("a pull job is picked from a scan, tried before it is saved, run, changed and removed", async ({
  page,
  scene,
}) => {
  const { copy } = scene;
  await scene.remote("sync-far", READER, PASSWORD);
  await login(page, copy);
  await page.goto(`${copy.url}/#/datastore/${COPY}/sync`);
  await page.getByRole("button", { name: "Add sync job" }).click();
  const form = page.getByRole("dialog", { name: "Add sync job" });
  await form.getByRole("textbox", { name: "Job ID" }).fill("sync-pull");
  await choose(form, page, "Remote", /^sync-far/);
  await choose(form, page, "Remote datastore", GOLDEN);
  await form.getByRole("combobox", { name: "Local namespace" }).fill("pulled");

  // The filters say at once which groups they take.
  await expect(form.getByText("9 of 9 groups take part")).toBeVisible();
  await form.getByRole("button", { name: "Add filter" }).click();
  await expect(form.getByText("6 of 9 groups take part")).toBeVisible();
  await form.getByRole("button", { name: "Add filter" }).click();
  await choose(form, page, "Filter 2: include or exclude", "Exclude");
  await choose(form, page, "Filter 2: what is compared", "Regular expression");
  await form.getByRole("textbox", { name: "Filter 2: value" }).fill("^vm/2(");
  await expect(form.getByText(/invalid regular expression/)).toBeVisible();
  await form.getByRole("textbox", { name: "Filter 2: value" }).fill("^vm/20[12]$");
  await expect(form.getByText("4 of 9 groups take part")).toBeVisible();
  await expect(form.getByRole("row", { name: /^vm\/201 / })).toContainText("Left out");

  await form.getByRole("combobox", { name: "Schedule" }).fill("sun 03:1");
  await expect(form.getByRole("list").getByRole("listitem")).toHaveCount(5);
  await expect(form.getByRole("listitem").first()).toContainText("03:01:00");
  await choose(form, page, "Max. depth", /only the namespace/);
  await form.getByRole("switch", { name: "Verify what came" }).click();
  await form.getByRole("textbox", { name: /^Warn without success for/ }).fill("2 fortnights");
  await expectAxeClean(page);

  // Nothing is stored by a dry run.
  await form.getByRole("button", { name: "Dry run" }).click();
  await expect(form.getByRole("row", { name: /^vm\/100 / })).toBeVisible();
  await expect(form.getByText(/^7 snapshots, at most/)).toBeVisible();
  await expectAxeClean(page);
  expect(await copy.api<{ id: string }[]>("GET", "/config/sync")).not.toContainEqual(
    expect.objectContaining({ id: "sync-pull" }),
  );

  // What the server refuses stands at its field, and the job that it took already is not made twice.
  await form.getByRole("button", { name: "Add", exact: true }).click();
  await expect(form.getByText(/unknown unit/)).toBeVisible();
  await form.getByRole("textbox", { name: /^Warn without success for/ }).fill("26h");
  await form.getByRole("button", { name: "Add", exact: true }).click();
  await expect(form).toBeHidden();
  expect(await copy.api("GET", "/config/sync/sync-pull")).toEqual({
    id: "sync-pull",
    store: COPY,
    ns: "pulled",
    remote: "sync-far",
    "remote-store": GOLDEN,
    "max-depth": 0,
    "group-filter": ["type:vm", "exclude:regex:^vm/20[12]$"],
    schedule: "sun 03:1",
  });
  expect(await copy.api("GET", "/farhold/job-options/sync/sync-pull")).toMatchObject({
    "verify-after": true,
    "stale-after": "1d 2h",
  });

  await act(page, "sync-pull", "Run now");
  await expect(page.getByRole("dialog").getByText(/TASK OK/)).toBeVisible();
  await page.keyboard.press("Escape");
  const row = page.getByRole("row", { name: /^sync-pull/ });
  await expect(row).toContainText("OK");

  await act(page, "sync-pull", "Explain a snapshot");
  const explain = page.getByRole("dialog", { name: /Explain/ });
  await explain.getByRole("combobox", { name: "Snapshot" }).fill("vm/100/2026-01-01T10:00:00Z");
  // What is offered lies over the button until the field is left.
  await page.keyboard.press("Tab");
  await expect(page.getByRole("option")).toHaveCount(0);
  await explain.getByRole("button", { name: "Explain" }).click();
  await expect(explain.getByText("leaves it alone")).toBeVisible();
  await page.keyboard.press("Escape");

  await act(page, "sync-pull", "Edit");
  const edit = page.getByRole("dialog", { name: "Edit sync job sync-pull" });
  await edit.getByRole("button", { name: "Remove filter 2" }).click();
  await edit.getByRole("textbox", { name: "Comment" }).fill("all machines");
  await edit.getByRole("button", { name: "Save" }).click();
  await expect(row).toContainText("all machines");
  expect(await copy.api("GET", "/config/sync/sync-pull")).toMatchObject({
    "group-filter": ["type:vm"],
    "max-depth": 0,
  });

  await row.click();
  const details = page.getByRole("dialog", { name: "Sync job sync-pull" });
  await expect(details.getByText("1 run is kept")).toBeVisible();
  await expect(details.getByText("up to date")).toBeVisible();
  await expectAxeClean(page);
  await details.getByRole("button", { name: "Remove" }).click();
  const removal = page.getByRole("dialog", { name: /Remove the sync job/ });
  await expect(removal.getByRole("button", { name: "Remove" })).toBeDisabled();
  await removal.getByRole("textbox").fill("sync-pull");
  await removal.getByRole("button", { name: "Remove" }).click();
  await expect(removal).toBeHidden();
  await expect(row).toBeHidden();
});

test("a push job gets an encryption key, and keeps the one that it had", async ({ page, scene }) => {
  const { copy } = scene;
  await scene.remote("sync-push", WRITER, PASSWORD);
  for (const id of ["sync-key1", "sync-key2"]) await copy.api("POST", "/config/encryption-keys", { id });
  await login(page, copy);
  await page.goto(`${copy.url}/#/jobs/sync`);
  await page.getByRole("button", { name: "Add sync job" }).click();
  const form = page.getByRole("dialog", { name: "Add sync job" });
  await form.getByRole("textbox", { name: "Job ID" }).fill("sync-push-job");
  await form.getByText("Push", { exact: true }).click();
  await choose(form, page, "Local datastore", COPY);
  await choose(form, page, "Remote", /^sync-push/);
  await form.getByRole("combobox", { name: "Remote datastore" }).fill(GOLDEN);
  await form.getByRole("combobox", { name: "Remote namespace" }).fill("pushed");
  await choose(form, page, "Active encryption key", "sync-key1");
  await form.getByRole("button", { name: "Add", exact: true }).click();
  await expect(form).toBeHidden();

  await act(page, "sync-push-job", "Edit");
  const edit = page.getByRole("dialog", { name: "Edit sync job sync-push-job" });
  await choose(edit, page, "Active encryption key", "sync-key2");
  await expect(edit.getByText(/sync-key1 stays with the job/)).toBeVisible();
  await edit.getByRole("button", { name: "Save" }).click();
  await expect(edit).toBeHidden();
  expect(await copy.api("GET", "/config/sync/sync-push-job")).toMatchObject({
    "sync-direction": "push",
    "remote-ns": "pushed",
    "active-encryption-key": "sync-key2",
    "associated-key": ["sync-key1"],
  });

  // Somebody else changes the job meanwhile: nothing of that is overwritten.
  await act(page, "sync-push-job", "Edit");
  await edit.getByRole("textbox", { name: "Comment" }).fill("mine");
  await copy.api("PUT", "/config/sync/sync-push-job", { comment: "theirs" });
  await edit.getByRole("button", { name: "Save" }).click();
  await expect(edit.getByRole("alert")).toContainText(/changed|modification|digest/i);
  await edit.getByRole("button", { name: "Cancel" }).click();
  expect(await copy.api("GET", "/config/sync/sync-push-job")).toMatchObject({ comment: "theirs" });
  await copy.api("DELETE", "/config/sync/sync-push-job");
});

test("whoever may only look sees the jobs, and is offered nothing that would be refused", async ({ page, scene }) => {
  const { copy } = scene;
  await copy.api("POST", "/config/sync", { id: "seen", store: COPY, "remote-store": "elsewhere" });
  await login(page, copy, AUDITOR);
  await page.goto(`${copy.url}/#/datastore/${COPY}/sync`);
  await expect(page.getByRole("row", { name: /^seen/ })).toContainText("never ran");
  await expect(page.getByRole("button", { name: "Add sync job" })).toBeHidden();
  await page.getByRole("button", { name: "Actions for seen" }).click();
  await expect(page.getByRole("menuitem", { name: "Run now" })).toBeDisabled();
  await copy.api("DELETE", "/config/sync/seen");
});
