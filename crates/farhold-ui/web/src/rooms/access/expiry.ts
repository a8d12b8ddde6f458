// When an account ends, as the API has it (seconds, 0 for never) and as the browser's field for date and time has it.

const two = (value: number): string => String(value).padStart(2, "0");

/** Returns a point as `2026-05-01T13:45` in the browser's time zone; an empty text for never. */
export function expiryText(epoch: number | undefined): string {
  if (!epoch) return "";
  const date = new Date(epoch * 1000);
  const day = `${String(date.getFullYear()).padStart(4, "0")}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

/**
 * Returns what a field's text stands for, 0 for never. A text that was not changed stands for `stored`, whose seconds
 * it does not show.
 */
export function expiryOf(text: string, stored = 0): number {
  if (text === expiryText(stored)) return stored;
  const milliseconds = new Date(text).getTime();
  return Number.isNaN(milliseconds) ? 0 : Math.floor(milliseconds / 1000);
}

export interface Account {
  enable?: boolean;
  expire?: number;
}

/** Returns whether an account can be used at `now`, and if not, why. */
export function accountState({ enable, expire }: Account, now: number): "enabled" | "disabled" | "expired" {
  if (enable === false) return "disabled";
  return expire && expire <= now ? "expired" : "enabled";
}
