// Sizes and rates as people read them, in binary units as everywhere in this field.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** Returns for instance `1.50 GiB`; `–` if unknown. */
export function bytes(count: number | null | undefined): string {
  if (count === null || count === undefined || !Number.isFinite(count)) return "–";
  let [value, unit] = [Math.abs(count), 0];
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${count < 0 ? "-" : ""}${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** Returns for instance `12.3 MiB/s`. */
export function rate(bytesPerSecond: number | null | undefined): string {
  const text = bytes(bytesPerSecond);
  return text === "–" ? text : `${text}/s`;
}

/** Returns for instance `41.5 %` of a share between 0 and 1. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–";
  return `${(share * 100).toFixed(share >= 0.1 ? 1 : 2)} %`;
}

/** Returns for instance `12.4` for a deduplication factor. */
export function factor(logical: number | undefined, stored: number | undefined): string {
  if (!logical || !stored) return "–";
  return (logical / stored).toFixed(2);
}
