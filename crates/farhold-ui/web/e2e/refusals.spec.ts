/** What somebody sees who may not, and what is said of a remote that is not who it was. */
import { act, field } from "./forms";
import { expect, expectAxeClean, login, test, type Page } from "./fixtures";
import { AUDITOR, COPY, GOLDEN, NOBODY, READER } from "./scene";
import { PASSWORD } from "./server";

const PLACES = [
  "/",
  "/config/remotes",
  "/config/access",
  "/config/keys",
  "/config/traffic",
  "/config/notifications",
  "/config/certificate",
  "/datastores",
  ...["summary", "content", "sync", "prune", "verify", "options", "permissions"].map(
    (tab) => `/datastore/${COPY}/${tab}`,
  ),
  ...["sync", "prune", "verify", "gc"].map((tab) => `/jobs/${tab}`),
  "/tasks",
];

/** Opens all screens; each must stand, whatever parts of it are refused. */
async function walk(page: Page, url: string): Promise<void> {
  for (const place of PLACES) {
    await page.goto(`${url}/#${place}`);
    await expect(page.getByRole("heading", { level: 1 }), place).toBeVisible();
    await expect(page.getByText("Loading", { exact: true }), place).toHaveCount(0);
    await expect(page.getByText("This page has failed"), place).toHaveCount(0);
  }
}

test("an auditor sees everything, and is not offered what is refused", async ({ page, scene }) => {
  test.slow();
  const { copy } = scene;
  await scene.remote("audited");
  await copy.api("POST", "/config/sync", {
    id: "audited-job",
    store: COPY,
    remote: "audited",
    "remote-store": GOLDEN,
  });
  await login(page, copy, AUDITOR);
  await walk(page, copy.url);

  await page.goto(`${copy.url}/#/config/remotes`);
  await expect(page.getByRole("row", { name: "audited" })).toBeVisible();
  await expect(page.getByRole("button", { name: "Add", exact: true })).toBeDisabled();
  await page.goto(`${copy.url}/#/datastore/${COPY}/sync`);
  await expect(page.getByRole("button", { name: "Add sync job" })).toHaveCount(0);
  await page.getByRole("button", { name: "Actions for audited-job" }).click();
  for (const entry of ["Run now", "Edit", "Remove"]) {
    await expect(page.getByRole("menuitem", { name: entry, exact: true })).toBeDisabled();
  }
  await page.keyboard.press("Escape");
  await copy.api("DELETE", "/config/sync/audited-job");
  await copy.api("DELETE", "/config/remote/audited");
});

test("somebody without any privilege is told so, and nothing breaks", async ({ page, scene }) => {
  test.slow();
  await login(page, scene.copy, NOBODY);
  await walk(page, scene.copy.url);
  await page.goto(`${scene.copy.url}/#/datastore/${COPY}/content`);
  await expect(page.getByRole("alert").first()).toContainText(/permission|privilege/i);
  await expectAxeClean(page);
});

test("a remote with another certificate is not used, and the difference is shown", async ({ page, scene, faults }) => {
  const { source, copy } = scene;
  const wrong = `${source.fingerprint.slice(0, -2)}${source.fingerprint.endsWith("00") ? "01" : "00"}`;
  await copy.command(
    ...["remote", "create", "impostor", "--host", "127.0.0.1", "--port", String(source.port)],
    ...["--auth-id", READER, "--password", PASSWORD, "--fingerprint", wrong],
  );
  await copy.api("POST", "/config/sync", {
    id: "impostor-job",
    store: COPY,
    remote: "impostor",
    "remote-store": GOLDEN,
  });
  await login(page, copy);

  await page.goto(`${copy.url}/#/config/remotes`);
  await act(page, "impostor", "Probe");
  const probe = page.getByRole("dialog", { name: "Probe of remote impostor" });
  await expect(probe).toContainText("This remote cannot be used as it is.");
  await expect(probe).toContainText("It is not the one that was expected.");
  await expect(probe).toContainText(source.fingerprint);
  await expectAxeClean(page);
  await page.keyboard.press("Escape");

  // The specification has 500 for a remote that cannot be asked.
  faults.allow(/answer 500: GET .*\/(scan|plan)/);
  await act(page, "impostor", "Browse");
  await expect(page.getByRole("dialog").getByRole("alert")).toContainText(/fingerprint/i);
  await page.keyboard.press("Escape");

  await page.goto(`${copy.url}/#/datastore/${COPY}/sync`);
  await act(page, "impostor-job", "Run now");
  const task = page.getByRole("dialog");
  await expect(task.getByRole("log", { name: "Log" })).toContainText(/TASK ERROR: .*fingerprint/i);
  await page.keyboard.press("Escape");
  await expect(page.getByRole("row", { name: "impostor-job" })).toContainText("Failed");

  await page.goto(`${copy.url}/#/`);
  await expect(page.getByRole("main")).toContainText("impostor-job");
  await page.goto(`${copy.url}/#/config/remotes`);
  await act(page, "impostor", "Edit");
  const dialog = page.getByRole("dialog", { name: "Edit remote impostor" });
  await field(dialog, "Fingerprint").fill("12:34");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(dialog.getByText("A fingerprint has 32 pairs of hexadecimal digits.")).toBeVisible();
  await field(dialog, "Fingerprint").fill(source.fingerprint);
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(dialog).toBeHidden();
  await act(page, "impostor", "Probe");
  await expect(page.getByRole("dialog")).toContainText(/This remote can be used\./);
  await page.keyboard.press("Escape");
  await copy.api("DELETE", "/config/sync/impostor-job");
  await copy.api("DELETE", "/config/remote/impostor");
});
