/** Remotes, encryption keys, traffic rules and the certificate, on the two servers of the scene. */
import { readFileSync } from "node:fs";

import { PASSWORD } from "./server";
import { READER } from "./scene";
import { expect, expectAxeClean, login, test } from "./fixtures";

test("a remote is probed before it is saved, browsed, changed and removed", async ({ page, scene }) => {
  const { source, copy } = scene;
  await login(page, copy);
  await page.goto(`${copy.url}/#/config/remotes`);
  await page.getByRole("button", { name: "Add", exact: true }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox", { name: "Name" }).fill("far");
  await dialog.getByRole("textbox", { name: "Host" }).fill(`https://127.0.0.1:${source.port}/#dashboard`);
  await dialog.getByRole("textbox", { name: "Auth ID" }).fill(READER);
  await dialog.getByRole("textbox", { name: "Password" }).fill("not the password");
  const probe = dialog.getByRole("button", { name: "Probe these settings" });
  await probe.click();
  await expect(dialog.getByRole("listitem").filter({ hasText: "Certificate" })).toContainText("Failed");
  await expect(dialog.getByLabel("Port")).toHaveValue(String(source.port));

  // Nobody vouches for the certificate: its fingerprint is taken over only after it was compared.
  const take = dialog.getByRole("button", { name: "Use this fingerprint" });
  await expect(take).toBeDisabled();
  await expectAxeClean(page);
  await dialog.getByRole("checkbox", { name: /I have compared it/ }).check();
  await take.click();
  await expect(dialog.getByRole("textbox", { name: "Fingerprint" })).toHaveValue(source.fingerprint);
  await expect(dialog.getByRole("listitem").filter({ hasText: "Login" })).toContainText("Failed");
  await dialog.getByRole("textbox", { name: "Password" }).fill(PASSWORD);
  await probe.click();
  await expect(dialog.getByText("This remote can be used.")).toBeVisible();
  await dialog.getByRole("button", { name: "Add" }).click();
  await expect(dialog).toBeHidden();
  const row = page.getByRole("row", { name: /^far/ });
  await expect(row).toContainText(`127.0.0.1:${source.port}`);

  const choose = async (action: string): Promise<void> => {
    await page.getByRole("button", { name: "Actions for far" }).click();
    await page.getByRole("menuitem", { name: action }).click();
  };
  await choose("Browse");
  await dialog.getByRole("row", { name: /golden/ }).click();
  await expect(dialog.getByRole("row", { name: /^vm\/100 / })).toBeVisible();
  await dialog.getByRole("combobox", { name: "Namespace" }).click();
  await page.getByRole("option", { name: "location_b" }).click();
  await expect(dialog.getByRole("row", { name: /^vm\/100 / })).toBeHidden();
  await page.keyboard.press("Escape");
  await expect(dialog).toBeHidden();

  await choose("Edit");
  await dialog.getByRole("textbox", { name: "Comment" }).fill("two streets away");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(row).toContainText("two streets away");

  // A remote that a job uses stays, and the dialog says which job.
  const job = { id: "remotes-job", store: "copy", remote: "far", "remote-store": "golden" };
  await copy.api("POST", "/config/sync", job);
  await page.reload();
  await choose("Remove");
  await expect(dialog.getByRole("listitem")).toHaveText("remotes-job");
  await dialog.getByRole("textbox").fill("far");
  await expect(dialog.getByRole("button", { name: "Remove" })).toBeDisabled();
  await page.keyboard.press("Escape");
  await copy.api("DELETE", "/config/sync/remotes-job");
  await page.reload();
  await choose("Remove");
  await dialog.getByRole("textbox").fill("far");
  await dialog.getByRole("button", { name: "Remove" }).click();
  await expect(row).toBeHidden();
});

test("a key is shown once, brought along from its file, archived and removed", async ({ page, scene }) => {
  await login(page, scene.copy);
  await page.goto(`${scene.copy.url}/#/config/keys`);
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await dialog.getByRole("textbox", { name: "Name" }).fill("key-made");
  await page.keyboard.press("Enter");
  await expect(dialog.getByText("This is the only time that the key is shown.")).toBeVisible();
  await page.keyboard.press("Escape");
  await expectAxeClean(page);
  const download = page.waitForEvent("download");
  await dialog.getByRole("button", { name: "Save key file" }).click();
  const file = await (await download).path();
  const close = dialog.getByRole("button", { name: "Close" });
  await expect(close).toBeDisabled();
  await dialog.getByRole("checkbox", { name: /I have kept the key/ }).check();
  await close.click();

  await page.getByRole("button", { name: "Import", exact: true }).click();
  await dialog.getByRole("textbox", { name: "Name" }).fill("key-brought");
  await dialog.getByRole("textbox", { name: "Key file" }).fill("no key");
  await dialog.getByRole("button", { name: "Import", exact: true }).click();
  await expect(dialog.getByText("This is not a key file: it is no JSON text.")).toBeVisible();
  await dialog.locator("input[type=file]").setInputFiles(file);
  const { fingerprint } = JSON.parse(readFileSync(file, "utf8")) as { fingerprint: string };
  await expect(dialog.getByText(`Fingerprint in this file: ${fingerprint}`)).toBeVisible();
  await dialog.getByRole("button", { name: "Import", exact: true }).click();
  await expect(dialog).toBeHidden();

  for (const key of ["key-made", "key-brought"]) {
    const row = page.getByRole("row", { name: new RegExp(`^${key}`) });
    const menu = page.getByRole("button", { name: `Actions for ${key}` });
    await menu.click();
    await page.getByRole("menuitem", { name: "Remove" }).click();
    await expect(dialog.getByText("It is active. Archive it first.")).toBeVisible();
    await page.keyboard.press("Escape");
    await menu.click();
    await page.getByRole("menuitem", { name: "Archive" }).click();
    await expect(row).toContainText("Archived");
    await menu.click();
    await page.getByRole("menuitem", { name: "Remove" }).click();
    await dialog.getByRole("textbox").fill(key);
    await dialog.getByRole("button", { name: "Remove" }).click();
    await expect(row).toBeHidden();
  }
});

test("a traffic rule tells its faults at their fields, and the certificate can be replaced", async ({
  page,
  scene,
}) => {
  const { copy } = scene;
  await login(page, copy);
  await page.goto(`${copy.url}/#/config/traffic`);
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await dialog.getByRole("textbox", { name: "Name" }).fill("slow");
  await dialog.getByRole("combobox", { name: "Rate in" }).fill("20");
  await page.getByRole("option", { name: "20 MiB" }).click();
  const timeframes = dialog.getByRole("combobox", { name: "Timeframes" });
  await timeframes.fill("at night");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await dialog.getByRole("button", { name: "Add" }).click();
  await expect(timeframes).toHaveAttribute("aria-invalid", "true");
  await expect(dialog.getByText(/unable to parse daily duration/)).toBeVisible();
  await timeframes.focus();
  await page.keyboard.press("Backspace");
  await timeframes.fill("mon..fri 8-18");
  await page.keyboard.press("Tab");
  await dialog.getByRole("button", { name: "Add" }).click();
  const row = page.getByRole("row", { name: /^slow/ });
  await expect(row).toContainText("of 20 MiB/s");
  await expect(row).toContainText("mon..fri 8-18");
  await row.click();
  await dialog.getByRole("combobox", { name: "Rate in" }).fill("");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(row).not.toContainText("MiB/s");
  await page.getByRole("button", { name: "Actions for slow" }).click();
  await page.getByRole("menuitem", { name: "Remove" }).click();
  await dialog.getByRole("textbox").fill("slow");
  await dialog.getByRole("button", { name: "Remove" }).click();
  await expect(row).toBeHidden();

  await page.goto(`${copy.url}/#/config/certificate`);
  const panel = page.getByRole("region", { name: "Certificate of this server" });
  await expect(panel).toContainText(copy.fingerprint);
  const [info] = await copy.api<{ pem: string }[]>("GET", "/nodes/localhost/certificates/info");
  await page.getByRole("button", { name: "Upload certificate" }).click();
  await dialog.getByRole("textbox", { name: "Certificate" }).fill(info?.pem ?? "");
  await dialog.getByRole("textbox", { name: "Private key" }).fill("no key");
  const upload = dialog.getByRole("button", { name: "Upload certificate" });
  await upload.click();
  await expect(dialog.getByText("This is no PEM text of a private key.")).toBeVisible();
  await dialog.getByRole("textbox", { name: "Private key" }).fill("");
  await upload.click();
  await expect(page.getByText("The certificate is in use.")).toBeVisible();
  await expect(panel).toContainText(copy.fingerprint);
  await page.getByRole("button", { name: "Back to self-signed" }).click();
  await dialog.getByRole("textbox").fill("proxy.pem");
  await dialog.getByRole("button", { name: "Back to self-signed" }).click();
  await expect(panel).not.toContainText(copy.fingerprint, { timeout: 20_000 });
  copy.fingerprint = (await panel.locator("code").textContent()) ?? "";
  expect(copy.fingerprint).toMatch(/^[0-9a-f]{2}(:[0-9a-f]{2}){31}$/);
});
