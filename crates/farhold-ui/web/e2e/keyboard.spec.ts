/** From the login to a saved remote without touching a mouse. */
import { press, tabTo, typeInto } from "./keyboard";
import { READER } from "./scene";
import { ADMIN, PASSWORD } from "./server";
import { expect, expectAxeClean, login, test } from "./fixtures";

test("logs in, goes to the remotes, adds one and removes it, by keyboard alone", async ({ page, scene }) => {
  await page.goto(scene.copy.url);
  await typeInto(page, page.getByLabel("User name"), ADMIN);
  await typeInto(page, page.getByLabel(/^Password/), PASSWORD);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Dashboard", level: 1 })).toBeVisible();

  // The first stop of the tab key leads past the navigation.
  await page.keyboard.press("Tab");
  const skip = page.getByRole("link", { name: "Skip to the content" });
  await expect(skip).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("main")).toBeFocused();

  await press(page, page.getByRole("link", { name: "Remotes" }));
  await expect(page.getByRole("heading", { name: "Remotes", level: 1 })).toBeVisible();
  await press(page, page.getByRole("button", { name: "Add", exact: true }));
  const dialog = page.getByRole("dialog", { name: "Add remote" });
  await expect(dialog.getByLabel(/^Name/), "the first field has the focus").toBeFocused();
  await expectAxeClean(page);
  await typeInto(page, dialog.getByLabel(/^Name/), "by-keyboard");
  await typeInto(page, dialog.getByLabel(/^Host/), `127.0.0.1:${scene.source.port}`);
  await typeInto(page, dialog.getByLabel(/^Auth ID/), READER);
  await expect(dialog.getByLabel(/^Port/), "the port was split off").toHaveValue(String(scene.source.port));
  await typeInto(page, dialog.getByLabel(/^Password/), PASSWORD);
  await typeInto(page, dialog.getByLabel(/^Fingerprint/), scene.source.fingerprint);
  await press(page, dialog.getByRole("button", { name: "Add", exact: true }));
  await expect(dialog).toBeHidden();
  const row = page.getByRole("row", { name: "by-keyboard" });
  await expect(row).toBeVisible();
  const remotes = await scene.copy.api<{ name: string; "auth-id": string }[]>("GET", "/config/remote");
  expect(remotes).toContainEqual(expect.objectContaining({ name: "by-keyboard", "auth-id": READER }));

  await press(page, row.getByRole("button", { name: "Actions for by-keyboard" }));
  await expect(page.getByRole("menuitem", { name: "Edit" })).toBeVisible();
  await page.keyboard.press("ArrowDown");
  await expect(page.getByRole("menuitem", { name: "Edit" })).toBeFocused();
  await page.keyboard.press("End");
  await expect(page.getByRole("menuitem", { name: "Remove" })).toBeFocused();
  await page.keyboard.press("Enter");
  const removal = page.getByRole("dialog", { name: "Remove remote by-keyboard" });
  await expect(removal.getByRole("textbox")).toBeFocused();
  await page.keyboard.type("by-keyboard");
  await page.keyboard.press("Enter");
  await expect(removal).toBeHidden();
  await expect(page.getByText("No remote is configured")).toBeVisible();
  await tabTo(page, page.getByRole("button", { name: "Add", exact: true }));
});

test("a dialog keeps the focus, gives it back, and closes with escape", async ({ page, plain }) => {
  await login(page, plain);
  await page.getByRole("link", { name: "Remotes" }).click();
  const add = page.getByRole("button", { name: "Add", exact: true });
  await press(page, add);
  const dialog = page.getByRole("dialog", { name: "Add remote" });
  await expect(dialog.getByLabel(/^Name/)).toBeFocused();
  for (let presses = 0; presses < 20; presses += 1) {
    await page.keyboard.press("Tab");
    const isInside = await dialog.evaluate((element) => element.contains(document.activeElement));
    expect(isInside, "the focus stays in the dialog").toBe(true);
  }
  await page.keyboard.press("Escape");
  await expect(dialog).toBeHidden();
  await expect(add, "the focus goes back").toBeFocused();
});
