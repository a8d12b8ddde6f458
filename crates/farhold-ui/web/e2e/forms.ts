/** Filling in the interface's forms. */
import type { Locator, Page } from "./fixtures";

/** Returns the field with this label; required ones carry a star. */
export function field(within: Locator, label: string): Locator {
  const escaped = label.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return within.getByLabel(new RegExp(`^${escaped}( \\*)?$`)).and(within.locator("input, textarea, select"));
}

/** Opens a field that offers choices and takes one of them. */
export async function choose(page: Page, target: Locator, option: string | RegExp): Promise<void> {
  await target.click();
  await page.getByRole("option", { name: option }).click();
}

/** Opens the menu at the end of a row and takes an entry. */
export async function act(page: Page, row: string, entry: string): Promise<void> {
  await page.getByRole("button", { name: `Actions for ${row}` }).click();
  await page.getByRole("menuitem", { name: entry, exact: true }).click();
}

/** Types the name that a removal asks for, and removes. */
export async function confirmRemoval(page: Page, name: string): Promise<void> {
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel(`Type ${name} to go on`).fill(name);
  await dialog.getByRole("button", { name: "Remove", exact: true }).click();
  await dialog.waitFor({ state: "hidden" });
}
