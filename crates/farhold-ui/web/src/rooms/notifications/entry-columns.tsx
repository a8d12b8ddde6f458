// Columns that targets and matchers have in common.

import { State } from "../../parts/state";
import type { Column } from "../../parts/table";
import { texts } from "../../texts";

const words = texts.notifications;

interface Entry {
  name: string;
  disable?: boolean;
  comment?: string;
  origin: keyof typeof words.origins;
}

export function stateColumn<Row extends Entry>(): Column<Row> {
  return {
    id: "state",
    title: texts.common.state,
    value: (row) => (row.disable ? words.disabled : words.enabled),
    cell: (row) =>
      row.disable ? <State tone="quiet">{words.disabled}</State> : <State tone="good">{words.enabled}</State>,
    width: "8rem",
  };
}

export function nameColumn<Row extends Entry>(): Column<Row> {
  return { id: "name", title: texts.common.name, value: (row) => row.name };
}

export function lastColumns<Row extends Entry>(): Column<Row>[] {
  return [
    { id: "comment", title: texts.common.comment, value: (row) => row.comment, phone: false },
    {
      id: "origin",
      title: words.origin,
      value: (row) => words.origins[row.origin],
      width: "10rem",
      phone: false,
    },
  ];
}
