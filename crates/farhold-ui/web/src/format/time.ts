// Points in time and spans as people read them. All points are seconds since 1970-01-01 UTC, as in the API.

const two = (value: number): string => String(value).padStart(2, "0");

/** Returns for instance `2026-05-01 13:45:10` in the browser's time zone; `–` if unknown. */
export function dateTime(epoch: number | null | undefined): string {
  if (epoch === null || epoch === undefined) return "–";
  const date = new Date(epoch * 1000);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Returns for instance `2026-05-01`. */
export function date(epoch: number | null | undefined): string {
  return dateTime(epoch).split(" ")[0] ?? "–";
}

/** Returns the name of a snapshot's time as paths have it, such as `2026-05-01T11:45:10Z`. */
export function snapshotTime(epoch: number): string {
  return new Date(epoch * 1000).toISOString().replace(/\.\d+Z$/, "Z");
}

/** Returns a span in its two largest units, such as `2 d 3 h` or `41 s`. */
export function span(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const total = Math.max(0, Math.round(seconds));
  const parts = [
    { unit: "d", value: Math.floor(total / 86400) },
    { unit: "h", value: Math.floor((total % 86400) / 3600) },
    { unit: "min", value: Math.floor((total % 3600) / 60) },
    { unit: "s", value: total % 60 },
  ];
  const first = parts.findIndex((part) => part.value > 0);
  if (first < 0) return "0 s";
  const shown = parts.slice(first, first + 2).filter((part) => part.value > 0);
  return shown.map((part) => `${part.value} ${part.unit}`).join(" ");
}

/** Returns how long ago or how far ahead a point is, such as `5 min ago` or `in 2 h`. */
export function distance(epoch: number | null | undefined, now: number): string {
  if (epoch === null || epoch === undefined) return "–";
  const seconds = Math.round(now - epoch);
  if (Math.abs(seconds) < 1) return "now";
  const text = span(Math.abs(seconds)).split(" ").slice(0, 2).join(" ");
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

/** Returns the present in seconds since 1970-01-01 UTC. */
export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
