/** Going through a page by keyboard alone, as somebody without a mouse does. */
import { expect, type Locator, type Page } from "./fixtures";

/** More presses than any page or dialog needs to get from one control to another. */
const MOST_PRESSES = 60;

/** Presses the tab key until `target` has the focus, which must be visible there. */
export async function tabTo(page: Page, target: Locator): Promise<void> {
  // Presses while the page is still being loaded lead nowhere.
  await expect(target.first()).toBeVisible();
  for (let presses = 0; presses < MOST_PRESSES; presses += 1) {
    if (await hasFocus(target)) return expectVisibleFocus(page);
    await page.keyboard.press("Tab");
  }
  const where = await page.evaluate(() => document.activeElement?.outerHTML.slice(0, 200));
  throw new Error(`${target} cannot be reached with the tab key; the focus ended on ${where}`);
}

/** Goes to a field and types into it; what was there is replaced. */
export async function typeInto(page: Page, field: Locator, text: string): Promise<void> {
  await tabTo(page, field);
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type(text);
}

/** Goes to a control and presses it. */
export async function press(page: Page, target: Locator, key = "Enter"): Promise<void> {
  await tabTo(page, target);
  await page.keyboard.press(key);
}

async function hasFocus(target: Locator): Promise<boolean> {
  if ((await target.count()) === 0) return false;
  return target.first().evaluate((element) => element === document.activeElement);
}

async function expectVisibleFocus(page: Page): Promise<void> {
  const isVisible = await page.evaluate(() => {
    const element = document.activeElement;
    if (!element || element === document.body) return false;
    const changes = [element, element.parentElement].some((candidate) => {
      if (!candidate) return false;
      const style = getComputedStyle(candidate);
      return style.outlineStyle !== "none" || style.boxShadow !== "none";
    });
    // Fields of the library show the focus by the colour of their border.
    return changes || element.matches("input, textarea");
  });
  expect(isVisible, "the focus can be seen").toBe(true);
}
