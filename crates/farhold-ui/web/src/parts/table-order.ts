// Which rows of a table are shown, and in which order.

export interface Sorting {
  /** Id of the column. */
  column: string;
  direction: "up" | "down";
}

interface Sortable<Row> {
  id: string;
  value?: (row: Row) => string | number | boolean | null | undefined;
}

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** Returns the rows in which every word of the filter occurs, sorted; rows without a value come last. */
export function arranged<Row>(
  rows: readonly Row[],
  columns: readonly Sortable<Row>[],
  filter: string,
  sorting: Sorting | undefined,
): readonly Row[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const kept =
    words.length === 0
      ? rows
      : rows.filter((row) => {
          const text = columns
            .map((column) => String(column.value?.(row) ?? ""))
            .join("\n")
            .toLowerCase();
          return words.every((word) => text.includes(word));
        });
  const value = columns.find((column) => column.id === sorting?.column)?.value;
  if (!value || !sorting) return kept;
  const sign = sorting.direction === "up" ? 1 : -1;
  return kept
    .map((row) => ({ row, by: value(row) }))
    .sort((a, b) => {
      if (isAbsent(a.by) || isAbsent(b.by)) return Number(isAbsent(a.by)) - Number(isAbsent(b.by));
      if (typeof a.by === "number" && typeof b.by === "number") return sign * (a.by - b.by);
      return sign * collator.compare(String(a.by), String(b.by));
    })
    .map(({ row }) => row);
}

const isAbsent = (value: unknown): boolean => value === undefined || value === null || value === "";
