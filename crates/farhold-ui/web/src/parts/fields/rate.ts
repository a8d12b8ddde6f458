// Amounts of bytes with a unit, as the server reads them (docs/spec/schedules-and-tasks.md, section 3).

const AMOUNT = /^[0-9.eE+-]+ *[KMGTPkmgtp]?i?[Bb]?$/;
const NUMBER = /^[0-9]+(\.[0-9]+)?$/;
const COMMON = ["1 MiB", "5 MiB", "10 MiB", "20 MiB", "50 MiB", "100 MiB"];

/** Whether it can be an amount; empty text is none at all and fine. The server has the last word. */
export function isRate(text: string): boolean {
  return text.trim() === "" || (AMOUNT.test(text.trim()) && text.trim().length <= 64);
}

/** What to offer for what was typed: a bare number with units, otherwise common amounts. */
export function rateChoices(typed: string): string[] {
  const number = typed.trim();
  return NUMBER.test(number) ? ["KiB", "MiB", "GiB"].map((unit) => `${number} ${unit}`) : COMMON;
}
