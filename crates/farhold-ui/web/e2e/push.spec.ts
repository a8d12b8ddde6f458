/** Backups leave for a server that must not read them: a push with an encryption key of this server. */
import { act, choose, confirmRemoval, field } from "./forms";
import { expect, expectAxeClean, login, test } from "./fixtures";
import { COPY, GOLDEN, WRITER } from "./scene";

const [REMOTE, INPUT, JOB, KEY, NS] = ["push-remote", "push-input", "push-encrypted", "push-key", "leaving"];

interface Snapshot {
  "backup-type": string;
  "backup-id": string;
  fingerprint?: string;
  files: { filename: string; "crypt-mode": string }[];
}

test("makes a key, pushes with it, and the other side has only what it cannot read", async ({ page, scene }) => {
  test.slow();
  const { source, copy } = scene;
  await scene.remote(REMOTE, WRITER);
  await scene.remote(INPUT);
  await copy.api("POST", `/admin/datastore/${COPY}/namespace`, { name: NS });
  const pull = { store: COPY, ns: NS, remote: INPUT, "remote-store": GOLDEN, "group-filter": ["group:host/web1"] };
  expect(await copy.wait(await copy.api<string>("POST", "/pull", { ...pull, "max-depth": 0 }))).toBe("OK");
  await login(page, copy);

  await test.step("make a key, which is shown once", async () => {
    await page.getByRole("link", { name: "Encryption keys" }).click();
    await page.getByRole("button", { name: "Create", exact: true }).click();
    const dialog = page.getByRole("dialog");
    await field(dialog, "Name").fill(KEY);
    await page.keyboard.press("Enter");
    await expect(dialog.getByText("This is the only time that the key is shown.")).toBeVisible();
    await dialog.getByRole("checkbox", { name: /I have kept the key/ }).check();
    await dialog.getByRole("button", { name: "Close" }).click();
  });

  await test.step("make the job", async () => {
    await page.goto(`${copy.url}/#/datastore/${COPY}/sync`);
    await page.getByRole("button", { name: "Add sync job" }).click();
    const dialog = page.getByRole("dialog", { name: "Add sync job" });
    await field(dialog, "Job ID").fill(JOB);
    await dialog.getByText("Push", { exact: true }).click();
    await choose(page, field(dialog, "Remote"), new RegExp(`^${REMOTE}`));
    await choose(page, field(dialog, "Remote datastore"), GOLDEN);
    await choose(page, field(dialog, "Remote namespace"), "pushed");
    await choose(page, field(dialog, "Local namespace"), NS);
    await choose(page, field(dialog, "Active encryption key"), KEY);
    await expect(dialog.getByText("1 of 1 groups take part")).toBeVisible();
    await expectAxeClean(page);
    await dialog.getByRole("button", { name: "Dry run" }).click();
    await expect(dialog.getByText("Would be pushed")).toBeVisible();
    await expect(dialog.getByText(/^3 snapshots/)).toBeVisible();
    await dialog.getByRole("button", { name: "Add", exact: true }).click();
    await expect(dialog).toBeHidden();
  });

  await test.step("run it", async () => {
    await act(page, JOB, "Run now");
    const task = page.getByRole("dialog");
    await expect(task.getByRole("log", { name: "Log" })).toContainText("TASK OK", { timeout: 30_000 });
    await page.keyboard.press("Escape");
    await expect(page.getByRole("row", { name: JOB })).toContainText("OK");
  });

  await test.step("the other side has it encrypted", async () => {
    const snapshots = await source.api<Snapshot[]>("GET", `/admin/datastore/${GOLDEN}/snapshots`, { ns: "pushed" });
    expect(snapshots.map((one) => `${one["backup-type"]}/${one["backup-id"]}`)).toEqual(Array(3).fill("host/web1"));
    const keys = await copy.api<{ id: string; fingerprint: string }[]>("GET", "/config/encryption-keys");
    const { fingerprint } = keys.find(({ id }) => id === KEY)!;
    for (const one of snapshots) {
      expect(one.fingerprint).toBe(fingerprint);
      const modes = one.files
        .filter(({ filename }) => filename !== "index.json.blob")
        .map((file) => file["crypt-mode"]);
      expect([...new Set(modes)]).toEqual(["encrypt"]);
    }
  });

  await test.step("a key that a job uses is not removed", async () => {
    await page.getByRole("link", { name: "Encryption keys" }).click();
    await expect(page.getByRole("row", { name: KEY })).toContainText("1 sync job");
    await act(page, KEY, "Remove");
    await expect(page.getByRole("dialog")).toContainText(/Archive it first|These sync jobs use it/);
    await page.keyboard.press("Escape");
  });

  await page.goto(`${copy.url}/#/datastore/${COPY}/sync`);
  await act(page, JOB, "Remove");
  await confirmRemoval(page, JOB);
  await copy.api("POST", `/config/encryption-keys/${KEY}`);
  await copy.api("DELETE", `/config/encryption-keys/${KEY}`);
  for (const name of [REMOTE, INPUT]) await copy.api("DELETE", `/config/remote/${name}`);
});
