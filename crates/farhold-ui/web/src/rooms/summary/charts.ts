// What is drawn of a datastore's history.

import type { Item } from "../../api/client";
import { bytes, rate } from "../../format/bytes";
import type { Chart } from "../../parts/history";
import { texts } from "../../texts";

const words = texts.summary.charts;

export type StoreSample = Item<"/admin/datastore/{store}/rrd">;

export const STORE_CHARTS: readonly Chart<StoreSample>[] = [
  {
    id: "usage",
    title: words.usage,
    format: bytes,
    steps: "binary",
    lines: [
      { label: words.used, value: (sample) => sample.used },
      { label: words.total, value: (sample) => sample.total },
    ],
  },
  {
    id: "transfer",
    title: words.transfer,
    format: rate,
    steps: "binary",
    lines: [
      { label: words.read, value: (sample) => sample.read_bytes },
      { label: words.write, value: (sample) => sample.write_bytes },
    ],
  },
  {
    id: "requests",
    title: words.requests,
    format: (value) => value.toFixed(value < 10 ? 1 : 0),
    lines: [
      { label: words.read, value: (sample) => sample.read_ios },
      { label: words.write, value: (sample) => sample.write_ios },
    ],
  },
  {
    id: "busy",
    title: words.busy,
    format: (value) => `${value.toFixed(2)} s`,
    lines: [{ label: words.busy, value: (sample) => sample.io_ticks }],
  },
];
