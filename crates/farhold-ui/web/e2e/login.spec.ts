/** Coming in, staying in, going out, and being sent away. */
import { rmSync } from "node:fs";
import path from "node:path";

import { ADMIN, PASSWORD } from "./server";
import { expect, expectAxeClean, login, test } from "./fixtures";

const TICKET = "__Host-PBSAuthCookie";

test("logs in, stays in after a reload, and logs out", async ({ page, plain }) => {
  await login(page, plain);
  await expectAxeClean(page);
  const ticket = (await page.context().cookies()).find(({ name }) => name === TICKET);
  expect(ticket).toMatchObject({ httpOnly: true, secure: true, sameSite: "Lax" });
  expect(await page.evaluate(() => document.cookie), "scripts cannot see the ticket").toBe("");

  await page.reload();
  await expect(page.getByRole("navigation", { name: "Navigation" })).toBeVisible();

  await page.getByRole("button", { name: `Logged in as ${ADMIN}` }).click();
  await page.getByRole("menuitem", { name: "Log out" }).click();
  await expect(page.getByRole("button", { name: "Log in" })).toBeVisible();
  await expect(page.getByLabel("User name"), "who logged out is not remembered").toHaveValue("");
  expect((await page.context().cookies()).map(({ name }) => name)).not.toContain(TICKET);
  await page.reload();
  await expect(page.getByRole("button", { name: "Log in" })).toBeVisible();
});

test("says why somebody does not come in, in the server's words", async ({ page, plain }) => {
  await page.goto(plain.url);
  await expectAxeClean(page);
  await page.getByLabel("User name").fill(ADMIN);
  await page.getByLabel(/^Password/).fill("wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("alert")).toContainText(/authentication|permission|login/i);
  await expect(page.getByLabel("User name")).toHaveValue(ADMIN);
  await expectAxeClean(page);

  await page.getByLabel(/^Password/).fill(PASSWORD);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("navigation", { name: "Navigation" })).toBeVisible();
});

test("asks for the password again over the page when the cookie is gone", async ({ page, plain }) => {
  await login(page, plain);
  await page.getByRole("link", { name: "Remotes" }).click();
  await page.context().clearCookies();
  await page.getByRole("link", { name: "Tasks", exact: true }).click();

  const dialog = page.getByRole("dialog", { name: "Please log in again" });
  await expect(dialog).toBeVisible();
  await expectAxeClean(page);
  await expect(dialog.getByLabel("User name")).toHaveValue(ADMIN);
  await dialog.getByLabel(/^Password/).fill(PASSWORD);
  await dialog.getByRole("button", { name: "Log in" }).click();
  await expect(dialog).toBeHidden();
  await expect(page, "the place is kept").toHaveURL(/#\/tasks/);
});

test("asks again when the server has another key, and takes nothing that the old one signed", async ({
  page,
  plain,
  faults,
}) => {
  await login(page, plain);
  await page.getByRole("link", { name: "Remotes" }).click();
  await expect(page.getByRole("heading", { name: "Remotes", level: 1 })).toBeVisible();
  // While the server is away, the browser logs each attempt to reach it.
  faults.allow(/net::ERR_/);
  await plain.stop();
  for (const name of ["authkey.key", "authkey.pub", "csrf.key"]) rmSync(path.join(plain.root, "etc", name));
  await plain.run();

  // Nothing has to be pressed for that: the page asks what runs every few seconds.
  const dialog = page.getByRole("dialog", { name: "Please log in again" });
  await expect(dialog).toBeVisible();
  await dialog.getByLabel(/^Password/).fill(PASSWORD);
  await dialog.getByRole("button", { name: "Log in" }).click();
  await expect(dialog).toBeHidden();
  await expect(page.getByText("No remote is configured")).toBeVisible();
});
