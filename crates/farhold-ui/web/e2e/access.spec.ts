/** Users, API tokens, permissions, and what they come to; targets and matchers of notifications. */
import { createServer, type Server as Listener } from "node:http";
import type { AddressInfo } from "node:net";

import { request } from "@playwright/test";

import { expect, expectAxeClean, login, test, type Page } from "./fixtures";
import { PASSWORD, type Server } from "./server";

/** Opens a row's menu and chooses from it. */
async function choose(page: Page, row: string, action: string): Promise<void> {
  await page.getByRole("button", { name: `Actions for ${row}`, exact: true }).click();
  await page.getByRole("menuitem", { name: action }).click();
}

/** Types the name that a removal asks for, and confirms. */
async function confirm(page: Page, name: string, button = "Remove"): Promise<void> {
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel(`Type ${name} to go on`).fill(name);
  await dialog.getByRole("button", { name: button }).click();
  await expect(dialog).toBeHidden();
}

/** Asks the server as an API token which privileges it has. */
async function privilegesOf(server: Server, token: string, secret: string): Promise<Record<string, object>> {
  const caller = await request.newContext({ ignoreHTTPSErrors: true });
  const answer = await caller.get(`${server.url}/api2/json/access/permissions`, {
    headers: { authorization: `PBSAPIToken=${token}:${secret}` },
  });
  const privileges = ((await answer.json()) as { data: Record<string, object> }).data;
  await caller.dispose();
  return privileges;
}

test("a user gets a token and permissions, the server explains them, and all goes with the user", async ({
  page,
  plain,
}) => {
  await login(page, plain);
  await page.goto(`${plain.url}/#/config/access`);
  const dialog = page.getByRole("dialog");

  await page.getByRole("button", { name: "Add user" }).click();
  await dialog.getByRole("textbox", { name: "User name" }).fill("backup");
  await dialog.getByRole("textbox", { name: "Password", exact: true }).fill("long-enough-1");
  await dialog.getByRole("textbox", { name: "Password again" }).fill("long-enough-2");
  await dialog.getByRole("textbox", { name: "First name" }).fill("B");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await expect(dialog).toContainText("The two passwords differ.");
  await expectAxeClean(page);
  await dialog.getByRole("textbox", { name: "Password again" }).fill("long-enough-1");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await expect(dialog, "the server's words stand at the field").toContainText("at least 2 characters");
  await dialog.getByRole("textbox", { name: "First name" }).fill("");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await expect(dialog).toBeHidden();

  await page.getByRole("tab", { name: "API tokens" }).click();
  await page.getByRole("button", { name: "Add API token" }).click();
  await dialog.getByRole("combobox", { name: "User" }).click();
  await page.getByRole("option", { name: "backup@pbs" }).click();
  await dialog.getByRole("textbox", { name: "Token name" }).fill("nightly");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await expect(dialog).toContainText("shown only now");
  await page.keyboard.press("Escape");
  await expect(dialog, "a secret that is shown once stays until it was copied").toContainText("shown only now");
  const secret = (await dialog.locator("code").last().textContent()) ?? "";
  await dialog.getByRole("button", { name: "I have copied it" }).click();
  expect(await privilegesOf(plain, "backup@pbs!nightly", secret), "a new token may do nothing").toEqual({});

  await page.getByRole("tab", { name: "Permissions" }).click();
  for (const who of ["backup@pbs", "backup@pbs!nightly"]) {
    await page.getByRole("button", { name: "Add permission" }).click();
    await dialog.getByRole("combobox", { name: "Path" }).fill("/datastore/tank");
    await dialog.getByRole("combobox", { name: "User or API token" }).fill(who);
    await dialog.getByRole("combobox", { name: "Role" }).fill("DatastoreBackup");
    await page.getByRole("option", { name: "DatastoreBackup" }).click();
    await dialog.getByRole("button", { name: "Save" }).click();
    await expect(dialog).toBeHidden();
  }
  expect(await privilegesOf(plain, "backup@pbs!nightly", secret)).toEqual({
    "/datastore/tank": { "Datastore.Backup": true },
  });

  await page.getByRole("tab", { name: "Who may do what" }).click();
  await page.getByRole("combobox", { name: "User or API token" }).fill("backup@pbs!nightly");
  await page.getByRole("combobox", { name: "Path" }).fill("/datastore/tank");
  await page.getByRole("combobox", { name: "Privilege" }).fill("Datastore.Prune");
  await page.getByRole("option", { name: "Datastore.Prune" }).click();
  await page.getByRole("button", { name: "Check" }).click();
  await page.getByRole("row", { name: /not allowed/ }).press("Enter");
  await expect(dialog).toContainText("not among the privileges of acl:1:/datastore/tank:backup@pbs!nightly");
  await expectAxeClean(page);
  await page.keyboard.press("Escape");

  await page.getByRole("tab", { name: "Users" }).click();
  await choose(page, "backup@pbs", "Remove");
  await expect(dialog).toContainText("backup@pbs!nightly");
  await expect(dialog).toContainText("1 permission of the user stays in the list");
  await confirm(page, "backup@pbs");
  expect(await plain.api<object[]>("GET", "/access/acl", { path: "/datastore/tank" })).toEqual([]);
});

test("somebody with few privileges sees them, and a typing error at the own password ends no session", async ({
  page,
  plain,
}) => {
  await plain.user("reader@pbs", "DatastoreReader", "/datastore/tank");
  await login(page, plain, "reader@pbs");
  await page.goto(`${plain.url}/#/config/access/check`);
  await expect(page.getByRole("row", { name: /\/datastore\/tank.*Datastore\.Read/ })).toBeVisible();
  await page.getByRole("tab", { name: "Users" }).click();
  await expect(page.getByRole("button", { name: "Add user" })).toBeHidden();

  await choose(page, "reader@pbs", "Change password");
  const dialog = page.getByRole("dialog", { name: "Change the password of reader@pbs" });
  await dialog.getByRole("textbox", { name: "Your current password" }).fill("not-my-password");
  await dialog.getByRole("textbox", { name: "Password", exact: true }).fill("another-horse-9");
  await dialog.getByRole("textbox", { name: "Password again" }).fill("another-horse-9");
  await dialog.getByRole("button", { name: "Change password" }).click();
  await expect(dialog.getByRole("alert")).toContainText("authentication failed");
  await dialog.getByRole("textbox", { name: "Your current password" }).fill(PASSWORD);
  await dialog.getByRole("button", { name: "Change password" }).click();
  await expect(dialog).toBeHidden();

  await page.context().clearCookies();
  await page.reload();
  await login(page, plain, "reader@pbs", "another-horse-9");
});

interface Received {
  body: string;
  key: string | undefined;
}

/** A server that keeps what it is sent. */
async function listen(received: Received[]): Promise<Listener> {
  const listener = createServer((incoming, answer) => {
    let body = "";
    incoming.on("data", (part: Buffer) => (body += part.toString()));
    incoming.on("end", () => {
      received.push({ body, key: incoming.headers["x-key"] as string | undefined });
      answer.end();
    });
  });
  await new Promise<void>((done) => listener.listen(0, "127.0.0.1", done));
  return listener;
}

test("a webhook is made, tested, changed without its secret, and matched", async ({ page, plain }) => {
  const received: Received[] = [];
  const listener = await listen(received);
  const { port } = listener.address() as AddressInfo;
  await login(page, plain);
  await page.goto(`${plain.url}/#/config/notifications`);
  const dialog = page.getByRole("dialog");

  await page.getByRole("button", { name: "Add target" }).click();
  await page.getByRole("menuitem", { name: "webhook" }).click();
  await dialog.getByRole("textbox", { name: "Name", exact: true }).fill("hook");
  await dialog.getByRole("textbox", { name: "URL" }).fill(`http://127.0.0.1:${port}/`);
  await dialog.getByRole("button", { name: "Add header" }).click();
  await dialog.getByRole("textbox", { name: "Header 1: name" }).fill("X-Key");
  await dialog.getByRole("textbox", { name: "Header 1: value" }).fill("{{ secrets.key }}");
  await dialog.getByRole("textbox", { name: "Body" }).fill('{"grün": {{ json severity }}}');
  await dialog.getByRole("button", { name: "Add secret" }).click();
  await dialog.getByRole("textbox", { name: "Secret 1: name" }).fill("key");
  await dialog.getByRole("textbox", { name: "Secret 1: value" }).fill("s3cret");
  await expectAxeClean(page);
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await expect(dialog).toBeHidden();

  await page.getByRole("cell", { name: "hook", exact: true }).click();
  await expect(dialog.getByRole("textbox", { name: "Secret 1: value" })).toHaveValue("");
  await dialog.getByRole("textbox", { name: "Comment" }).fill("to the pager");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(dialog).toBeHidden();

  await choose(page, "hook", "Send test");
  await expect(dialog).toContainText("The target took the message.");
  expect(received).toEqual([{ body: '{"grün": "info"}', key: "s3cret" }]);
  await dialog.getByRole("button", { name: "Close" }).last().click();

  await page.getByRole("button", { name: "Add matcher" }).click();
  await dialog.getByRole("textbox", { name: "Name", exact: true }).fill("at-night");
  await dialog.getByRole("button", { name: "Add rule" }).click();
  await dialog.getByRole("combobox", { name: "Rule 1: values" }).fill("sync");
  await page.keyboard.press("Enter");
  await dialog.getByRole("button", { name: "Add rule" }).click();
  await dialog.getByRole("combobox", { name: "Rule 2: kind" }).click();
  await page.getByRole("option", { name: "time is within" }).click();
  await dialog.getByRole("textbox", { name: "Rule 2: time" }).fill("noon");
  await dialog.getByRole("combobox", { name: "Targets to notify" }).fill("hook");
  await page.getByRole("option", { name: "hook" }).click();
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await expect(dialog, "the server's words stand at the rules").toContainText("unable to parse");
  await dialog.getByRole("textbox", { name: "Rule 2: time" }).fill("22-23:59");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await expect(dialog).toBeHidden();
  await expect(page.getByRole("row", { name: /at-night/ })).toContainText("type is sync and time is within 22-23:59");

  await choose(page, "at-night", "Remove");
  await confirm(page, "at-night");
  await choose(page, "hook", "Remove");
  await confirm(page, "hook");
  await expect(page.getByRole("row", { name: /hook/ })).toBeHidden();
  listener.close();
});
