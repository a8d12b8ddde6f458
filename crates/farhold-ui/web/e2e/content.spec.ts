/** The Content tab: looking at backups, and everything that can be done with snapshots, groups and namespaces. */
import { readFileSync } from "node:fs";

import { AUDITOR, COPY, GOLDEN, type Scene } from "./scene";
import { expect, expectAxeClean, login, test, type Page } from "./fixtures";

const REMOTE = "content-source";
const NAMESPACE = "content";
const FIRST = "2026-01-01T10:00:00Z";
const SECOND = "2026-01-02T10:00:00Z";
const THIRD = "2026-01-03T10:00:00Z";

interface Listed {
  "backup-type": string;
  "backup-id": string;
  "backup-time": number;
  protected: boolean;
  comment?: string;
  verification?: { state: string };
}

/** The recorded backups in a namespace of their own. */
test.beforeAll(async ({ scene }) => {
  const { copy } = scene;
  await scene.remote(REMOTE);
  await copy.api("POST", `/admin/datastore/${COPY}/namespace`, { name: NAMESPACE });
  const pull = { store: COPY, ns: NAMESPACE, remote: REMOTE, "remote-store": GOLDEN, "max-depth": 0 };
  // Two of the recorded backups are damaged on purpose.
  await copy.wait(await copy.api<string>("POST", "/pull", pull));
});

test.afterAll(async ({ scene }) => {
  const { copy } = scene;
  const query = { ns: NAMESPACE, "delete-groups": true, "error-on-protected": false };
  for (const snapshot of await listed(scene)) {
    if (snapshot.protected) await protect(scene, snapshot, false);
  }
  await copy.api("DELETE", `/admin/datastore/${COPY}/namespace`, query);
  await copy.api("DELETE", `/config/remote/${REMOTE}`);
});

const listed = (scene: Scene, ns = NAMESPACE) =>
  scene.copy.api<Listed[]>("GET", `/admin/datastore/${COPY}/snapshots`, { ns });

async function timesOf(scene: Scene, group: string, ns = NAMESPACE): Promise<string[]> {
  const own = (await listed(scene, ns)).filter((one) => `${one["backup-type"]}/${one["backup-id"]}` === group);
  return own.map((one) => new Date(one["backup-time"] * 1000).toISOString().replace(".000Z", "Z")).sort();
}

async function protect(scene: Scene, snapshot: Listed, isProtected: boolean): Promise<void> {
  const { "backup-type": type, "backup-id": id, "backup-time": time } = snapshot;
  const query = { ns: NAMESPACE, "backup-type": type, "backup-id": id, "backup-time": time, protected: isProtected };
  await scene.copy.api("PUT", `/admin/datastore/${COPY}/protected`, query);
}

async function open(page: Page, scene: Scene, user?: string): Promise<void> {
  await login(page, scene.copy, user);
  await page.goto(`${scene.copy.url}/#/datastore/${COPY}/content?ns=${NAMESPACE}`);
  await expect(page.getByRole("row", { name: /vm\/100\b/ })).toBeVisible();
}

async function choose(page: Page, name: string, action: string): Promise<void> {
  await page.getByRole("button", { name: `Actions for ${name}`, exact: true }).click();
  await page.getByRole("menuitem", { name: action, exact: true }).click();
}

test("a snapshot is looked at, noted, protected, verified, downloaded and forgotten", async ({
  page,
  scene: filled,
}) => {
  await open(page, filled);
  await expectAxeClean(page);
  await page.getByLabel("Filter backups").fill("vm/100");
  await expect(page.getByText("2 groups, 4 snapshots")).toBeVisible();
  const group = page.getByRole("row", { name: /vm\/100\b/ }).first();
  await group.focus();
  await page.keyboard.press("ArrowRight");
  await expect(group).toHaveAttribute("aria-expanded", "true");

  const name = `vm/100/${SECOND}`;
  await choose(page, name, "Edit notes");
  const notes = page.getByRole("dialog", { name: `Notes: ${name}` });
  await expect(notes.getByRole("textbox", { name: "Notes" })).toHaveValue(/after the upgrade/);
  await notes.getByRole("textbox", { name: "Notes" }).fill("kept for the audit\nuntil spring");
  await notes.getByRole("button", { name: "Save" }).click();
  await expect(notes).toBeHidden();
  await expect(page.getByText("kept for the audit")).toBeVisible();

  await page.getByText(SECOND, { exact: true }).click();
  const details = page.getByRole("dialog", { name: `Snapshot: ${name}` });
  await expect(details.getByText("until spring")).toBeVisible();
  await expectAxeClean(page);
  await details.getByRole("button", { name: "Protect" }).click();
  await expect(details.getByRole("button", { name: "Remove protection" })).toBeVisible();
  await expect(details.getByRole("button", { name: "Forget" }), "what is protected stays").toBeDisabled();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    details.getByRole("button", { name: "Download qemu-server.conf.blob: Content" }).click(),
  ]);
  expect(download.suggestedFilename()).toBe("vm-100-2026-01-02T100000Z-qemu-server.conf");
  expect(readFileSync(await download.path(), "utf8")).toContain("memory");
  await details.getByRole("button", { name: "Verify" }).click();
  await expect(page.getByRole("dialog").last()).toContainText("TASK OK");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(1);
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);

  await choose(page, `vm/100/${FIRST}`, "Forget");
  const removal = page.getByRole("dialog", { name: `Forget snapshot: vm/100/${FIRST}` });
  await expect(removal.getByRole("button", { name: "Forget" })).toBeDisabled();
  await removal.getByRole("textbox").fill("vm/100");
  await removal.getByRole("button", { name: "Forget" }).click();
  await expect(page.getByText("2 groups, 3 snapshots")).toBeVisible();

  const [second] = (await listed(filled)).filter((one) => one.comment === "kept for the audit");
  expect(second).toMatchObject({ protected: true, verification: { state: "ok" } });
  expect(await timesOf(filled, "vm/100")).toEqual([SECOND, THIRD]);
});

test("a group is pruned as its preview says, moved, and goes with its namespace", async ({ page, scene: filled }) => {
  await open(page, filled);
  await choose(page, "host/web1", "Prune");
  const prune = page.getByRole("dialog", { name: "Prune: host/web1" });
  await prune.getByLabel("Keep last").fill("1");
  await expect(prune.getByRole("row", { name: /2026-01-03/ })).toContainText("last");
  const gone = prune.getByRole("row", { name: /remove/ });
  const removed = await gone.count();
  expect(removed).toBeGreaterThan(0);
  await expectAxeClean(page);
  const before = await timesOf(filled, "host/web1");
  await prune.getByRole("textbox", { name: /Type host\/web1/ }).fill("host/web1");
  await prune.getByRole("button", { name: "Prune" }).click();
  await expect(prune).toBeHidden();
  expect(await timesOf(filled, "host/web1")).toHaveLength(before.length - removed);

  await page.getByRole("button", { name: /^Namespace actions/ }).click();
  await page.getByRole("menuitem", { name: "Add namespace" }).click();
  const add = page.getByRole("dialog", { name: "Add namespace" });
  await add.getByLabel(/^Name/).fill("no/slash");
  await add.getByRole("button", { name: "Add" }).click();
  await expect(add.getByText(/Up to 32 letters/)).toBeVisible();
  await add.getByLabel(/^Name/).fill("old");
  await add.getByRole("button", { name: "Add" }).click();
  await expect(page).toHaveURL(/ns=content%2Fold/);
  await expect(page.getByText("There are no backups in this namespace.")).toBeVisible();

  await page
    .getByRole("navigation", { name: "Namespaces" })
    .getByRole("button", { name: "content", exact: true })
    .click();
  await choose(page, "host/web1", "Move");
  const move = page.getByRole("dialog", { name: "Move: host/web1" });
  await move.getByRole("combobox", { name: "To namespace" }).click();
  await page.getByRole("option", { name: "content/old" }).click();
  await move.getByRole("button", { name: "Move" }).click();
  await expect(page.getByRole("dialog").last()).toContainText("TASK OK");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("row", { name: /host\/web1/ })).toHaveCount(0);

  await page.getByRole("navigation", { name: "Namespaces" }).getByRole("button", { name: "old", exact: true }).click();
  await expect(page.getByRole("row", { name: /host\/web1/ })).toBeVisible();
  await page.getByRole("button", { name: /^Namespace actions/ }).click();
  await page.getByRole("menuitem", { name: "Remove namespace" }).click();
  const removal = page.getByRole("dialog", { name: "Remove namespace: content/old" });
  await expect(removal).toContainText(/1 group and \d snapshots? will be removed/);
  await removal.getByRole("textbox").fill("content/old");
  await removal.getByRole("button", { name: "Remove" }).click();
  await expect(removal).toBeHidden();
  const namespaces = await filled.copy.api<{ ns: string }[]>("GET", `/admin/datastore/${COPY}/namespace`);
  // Protected snapshots stay, and their namespace with them.
  const stayed = (await listed(filled, `${NAMESPACE}/old`).catch(() => [])).length > 0;
  expect(namespaces.map(({ ns }) => ns).includes("content/old")).toBe(stayed);
});

test("marked snapshots are protected together, and who may only look can change nothing", async ({
  page,
  scene: filled,
}) => {
  await open(page, filled);
  await page.getByLabel("Filter backups").fill("vm/200");
  await page.getByLabel("Mark vm/200", { exact: true }).click();
  const bar = page.getByRole("group", { name: "2 snapshots marked" });
  await bar.getByRole("button", { name: "Protect", exact: true }).click();
  const batch = page.getByRole("dialog", { name: "Protect marked snapshots" });
  await batch.getByRole("button", { name: "Protect" }).click();
  await expect(batch.getByText("Done: 2.")).toBeVisible();
  await batch.getByRole("button", { name: "Close" }).last().click();
  await expect(page.getByText("2 protected")).toBeVisible();

  await page.context().clearCookies();
  await page.evaluate(() => localStorage.clear());
  await page.goto("about:blank");
  await open(page, filled, AUDITOR);
  await page.getByRole("button", { name: "Actions for vm/100", exact: true }).click();
  for (const action of ["Verify", "Prune", "Change owner", "Move", "Forget"]) {
    await expect(page.getByRole("menuitem", { name: action, exact: true })).toBeDisabled();
  }
  await page.getByRole("menuitem", { name: "Notes", exact: true }).click();
  const notes = page.getByRole("dialog", { name: "Notes: vm/100" });
  await expect(notes.getByRole("textbox", { name: "Notes" })).toBeDisabled();
  await expect(notes.getByRole("button", { name: "Save" })).toHaveCount(0);
  await expectAxeClean(page);
});
