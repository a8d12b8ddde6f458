// Values that the server keeps over time, as lines.

export interface HistoryLine<Row> {
  label: string;
  value: (row: Row) => number | undefined;
}

export interface Series {
  label: string;
  values: (number | null)[];
}

/** Returns a value for each row and line; only lines that have at least one. */
export function seriesOf<Row>(rows: readonly Row[], lines: readonly HistoryLine<Row>[]): Series[] {
  return lines
    .map(({ label, value }) => ({ label, values: rows.map((row) => value(row) ?? null) }))
    .filter(({ values }) => values.some((value) => value !== null));
}

/** Returns only rows in which at least one line has a value. */
export function knownRows<Row>(rows: readonly Row[], lines: readonly HistoryLine<Row>[]): Row[] {
  return rows.filter((row) => lines.some(({ value }) => value(row) !== undefined));
}
