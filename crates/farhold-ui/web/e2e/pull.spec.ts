/** The way of an administrator with a second server: from its fingerprint to its backups, and back to nothing. */
import { act, choose, confirmRemoval, field } from "./forms";
import { expect, expectAxeClean, login, test } from "./fixtures";
import { COPY, GOLDEN, READER } from "./scene";
import { PASSWORD } from "./server";

const REMOTE = "far-away";
const JOB = "pull-machines";
const NS = "machines";

test("adds a remote, makes a job with filters and a schedule, tries it, runs it, sees what came", async ({
  page,
  scene,
}) => {
  test.slow();
  const { source, copy } = scene;
  await copy.api("POST", `/admin/datastore/${COPY}/namespace`, { name: NS });
  await login(page, copy);

  await test.step("add the remote: the probe finds its fingerprint", async () => {
    await page.getByRole("link", { name: "Remotes" }).click();
    await page.getByRole("button", { name: "Add", exact: true }).click();
    const dialog = page.getByRole("dialog", { name: "Add remote" });
    await field(dialog, "Name").fill(REMOTE);
    await field(dialog, "Host").fill(`127.0.0.1:${source.port}`);
    await field(dialog, "Auth ID").fill(READER);
    await field(dialog, "Password").fill(PASSWORD);
    await dialog.getByRole("button", { name: "Probe these settings" }).click();
    await expect(dialog.getByText("This remote cannot be used as it is.")).toBeVisible();
    await expect(dialog).toContainText(source.fingerprint);
    const take = dialog.getByRole("button", { name: "Use this fingerprint" });
    await expect(take, "nobody takes over a fingerprint unseen").toBeDisabled();
    await dialog.getByLabel("I have compared it; it is the same").check();
    await take.click();
    await expect(field(dialog, "Fingerprint")).toHaveValue(source.fingerprint);
    await expect(dialog.getByText(/This remote can be used\./)).toBeVisible();
    await expectAxeClean(page);
    await dialog.getByRole("button", { name: "Add", exact: true }).click();
    await expect(dialog).toBeHidden();
  });

  await test.step("look into it", async () => {
    await act(page, REMOTE, "Browse");
    const dialog = page.getByRole("dialog", { name: `Contents of remote ${REMOTE}` });
    await dialog.getByRole("row", { name: GOLDEN }).click();
    await expect(dialog.getByRole("row", { name: /^vm\/100 3 / })).toBeVisible();
    await page.keyboard.press("Escape");
  });

  await test.step("make a job with filters and a schedule", async () => {
    await page.goto(`${copy.url}/#/datastore/${COPY}/sync`);
    await page.getByRole("button", { name: "Add sync job" }).click();
    const dialog = page.getByRole("dialog", { name: "Add sync job" });
    await field(dialog, "Job ID").fill(JOB);
    await choose(page, field(dialog, "Remote"), new RegExp(REMOTE));
    await choose(page, field(dialog, "Remote datastore"), GOLDEN);
    await choose(page, field(dialog, "Local namespace"), NS);
    await choose(page, field(dialog, "Max. depth"), /only|no namespaces|0/i);
    await dialog.getByRole("button", { name: "Add filter" }).click();
    await expect(dialog.getByText("6 of 9 groups take part")).toBeVisible();
    await dialog.getByRole("button", { name: "Add filter" }).click();
    await choose(page, field(dialog, "Filter 2: include or exclude"), "Exclude");
    await choose(page, field(dialog, "Filter 2: what is compared"), "Group");
    await field(dialog, "Filter 2: value").fill("vm/1000");
    await expect(dialog.getByText("5 of 9 groups take part")).toBeVisible();
    await field(dialog, "Schedule").fill("mon..fri 02:30");
    await expect(dialog.getByRole("listitem").filter({ hasText: "02:30" })).toHaveCount(5);
    await field(dialog, "Rate in").fill("500 KiB");
    await field(dialog, "Comment").fill("machines only");

    await dialog.getByRole("button", { name: "Dry run" }).click();
    const plan = dialog.getByRole("region", { name: "What this job would do" });
    await expect(plan.getByText(/^8 snapshots/)).toBeVisible();
    await expect(plan.getByRole("treegrid", { name: "What would be done" })).toContainText("vm/100");
    await expect(plan.getByRole("treegrid", { name: "What would be done" })).not.toContainText("vm/1000");
    await expectAxeClean(page);
    expect(await copy.api("GET", "/config/sync"), "nothing was stored by trying").toEqual([]);
    await dialog.getByRole("button", { name: "Back to the form" }).click();
    await dialog.getByRole("button", { name: "Add", exact: true }).click();
    await expect(dialog).toBeHidden();
    expect(await copy.api("GET", `/config/sync/${JOB}`)).toMatchObject({
      remote: REMOTE,
      "remote-store": GOLDEN,
      ns: NS,
      "max-depth": 0,
      "group-filter": ["type:vm", "exclude:group:vm/1000"],
      schedule: "mon..fri 02:30",
      "rate-in": "500 KiB",
      comment: "machines only",
    });
  });

  await test.step("a dry run of the stored job", async () => {
    await act(page, JOB, "Dry run");
    const dialog = page.getByRole("dialog", { name: `What ${JOB} would do` });
    await expect(dialog.getByText(/^8 snapshots/)).toBeVisible();
    await page.keyboard.press("Escape");
  });

  await test.step("run it and watch", async () => {
    await act(page, JOB, "Run now");
    const task = page.getByRole("dialog");
    await expect(task.getByRole("progressbar", { name: "Progress" })).toBeVisible();
    const log = task.getByRole("log", { name: "Log" });
    await expect(log).toContainText("[vm/100]: 2026-01-01T10:00:00Z: start sync");
    await expect(page.getByRole("contentinfo")).toContainText("1 task is running");
    await expectAxeClean(page);
    await expect(log, "it is followed to its end").toContainText("TASK OK", { timeout: 30_000 });
    await expect(task.getByRole("button", { name: "Stop" })).toBeHidden();
    await task.getByLabel("Search the log").fill("vm/201");
    await expect(log).not.toContainText("vm/100");
    await page.keyboard.press("Escape");
    await expect(page.getByRole("row", { name: JOB })).toContainText("OK");
  });

  await test.step("see the snapshots", async () => {
    await page.getByRole("tab", { name: "Content" }).click();
    await page.getByRole("button", { name: NS, exact: true }).click();
    await expect(page.getByText("5 groups, 8 snapshots")).toBeVisible();
    await page.getByRole("button", { name: "Open all" }).click();
    await expect(page.getByRole("row", { name: "2026-01-02T10:00:00Z" }).first()).toBeVisible();
    await expectAxeClean(page);
  });

  await test.step("change an option", async () => {
    await page.goto(`${copy.url}/#/datastore/${COPY}/sync`);
    await act(page, JOB, "Edit");
    const dialog = page.getByRole("dialog", { name: `Edit sync job ${JOB}` });
    await expect(field(dialog, "Schedule")).toHaveValue("mon..fri 02:30");
    await field(dialog, "Transfer last").fill("2");
    await field(dialog, "Rate in").fill("");
    await dialog.getByRole("button", { name: "Save" }).click();
    await expect(dialog).toBeHidden();
    const changed = await copy.api<Record<string, unknown>>("GET", `/config/sync/${JOB}`);
    expect(changed).toMatchObject({ "transfer-last": 2, schedule: "mon..fri 02:30" });
    expect(changed).not.toHaveProperty("rate-in");
  });

  await test.step("a remote that is in use is not removed", async () => {
    await page.getByRole("link", { name: "Remotes" }).click();
    await act(page, REMOTE, "Remove");
    const dialog = page.getByRole("dialog", { name: `Remove remote ${REMOTE}` });
    await expect(dialog).toContainText(JOB);
    await dialog.getByLabel(`Type ${REMOTE} to go on`).fill(REMOTE);
    await expect(dialog.getByRole("button", { name: "Remove", exact: true })).toBeDisabled();
    await page.keyboard.press("Escape");
  });

  await test.step("remove job and remote", async () => {
    await page.goto(`${copy.url}/#/jobs`);
    await act(page, JOB, "Remove");
    await confirmRemoval(page, JOB);
    await page.getByRole("link", { name: "Remotes" }).click();
    await act(page, REMOTE, "Remove");
    await confirmRemoval(page, REMOTE);
    await expect(page.getByText("No remote is configured")).toBeVisible();
    expect(await copy.api("GET", "/config/sync")).toEqual([]);
    expect(await copy.api("GET", "/config/remote")).toEqual([]);
  });
});
