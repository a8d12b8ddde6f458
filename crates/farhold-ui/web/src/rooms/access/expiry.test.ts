import { expect, test } from "vitest";
import { accountState, expiryOf, expiryText } from "./expiry";

test("an end that was not touched keeps its seconds, an emptied one is never", () => {
  const stored = 1_800_000_042;
  expect(expiryOf(expiryText(stored), stored)).toBe(stored);
  expect(expiryOf("", stored)).toBe(0);
  expect(expiryText(0)).toBe("");
  expect(expiryText(undefined)).toBe("");
});

test("a typed end is a point in the browser's time zone", () => {
  expect(expiryOf("2030-03-04T05:06", 7)).toBe(new Date(2030, 2, 4, 5, 6).getTime() / 1000);
  expect(expiryText(new Date(2030, 2, 4, 5, 6).getTime() / 1000)).toBe("2030-03-04T05:06");
});

test("an account is enabled unless somebody or time ended it", () => {
  expect(accountState({}, 100)).toBe("enabled");
  expect(accountState({ expire: 0, enable: true }, 100)).toBe("enabled");
  expect(accountState({ expire: 101 }, 100)).toBe("enabled");
  expect(accountState({ expire: 100 }, 100)).toBe("expired");
  expect(accountState({ enable: false, expire: 100 }, 100)).toBe("disabled");
});
