// How the host did over time.

import { Button, Group } from "@mantine/core";
import { useState } from "react";
import type { Item } from "../../api/client";
import { useRead } from "../../api/hooks";
import { CALM_SECONDS, NODE } from "../../api/server";
import { bytes, percent, rate } from "../../format/bytes";
import { Dialog } from "../../parts/dialog";
import { Loaded } from "../../parts/failure";
import { FIRST_WINDOW, History, WindowFields, type Chart } from "../../parts/history";
import { texts } from "../../texts";

const words = texts.dashboard.host;

type Sample = Item<"/nodes/{node}/rrd">;

const number = (value: number): string => value.toFixed(value < 10 ? 2 : 0);

const CHARTS: readonly Chart<Sample>[] = [
  {
    id: "cpu",
    title: words.cpu,
    format: percent,
    lines: [
      { label: words.work, value: (sample) => sample.cpu },
      { label: words.wait, value: (sample) => sample.iowait },
    ],
  },
  { id: "load", title: words.load, format: number, lines: [{ label: words.load, value: (sample) => sample.loadavg }] },
  {
    id: "memory",
    title: words.memory,
    format: bytes,
    steps: "binary",
    lines: [
      { label: words.used, value: (sample) => sample.memused },
      { label: words.size, value: (sample) => sample.memtotal },
    ],
  },
  {
    id: "swap",
    title: words.swap,
    format: bytes,
    steps: "binary",
    lines: [{ label: words.swap, value: (sample) => (sample.swaptotal ? sample.swapused : undefined) }],
  },
  {
    id: "network",
    title: words.network,
    format: rate,
    steps: "binary",
    lines: [
      { label: words.received, value: (sample) => sample.netin },
      { label: words.sent, value: (sample) => sample.netout },
    ],
  },
  {
    id: "root",
    title: words.root,
    format: bytes,
    steps: "binary",
    lines: [
      { label: words.used, value: (sample) => sample.used },
      { label: words.size, value: (sample) => sample.total },
    ],
  },
  {
    id: "transfer",
    title: words.transfer,
    format: rate,
    steps: "binary",
    lines: [
      { label: words.read, value: (sample) => sample.read_bytes },
      { label: words.written, value: (sample) => sample.write_bytes },
    ],
  },
  {
    id: "requests",
    title: words.requests,
    format: number,
    lines: [
      { label: words.read, value: (sample) => sample.read_ios },
      { label: words.written, value: (sample) => sample.write_ios },
    ],
  },
];

export function HostHistoryButton() {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <Button size="compact-sm" variant="default" onClick={() => setOpen(true)}>
        {words.title}
      </Button>
      {isOpen && (
        <Dialog title={words.title} size="80rem" onClose={() => setOpen(false)}>
          <HostHistory />
        </Dialog>
      )}
    </>
  );
}

function HostHistory() {
  const [window, setWindow] = useState(FIRST_WINDOW);
  const samples = useRead(
    "/nodes/{node}/rrd",
    { params: { path: { node: NODE }, query: window } },
    { every: 2 * CALM_SECONDS, keepOld: true },
  );
  return (
    <>
      <Group mb="sm">
        <WindowFields value={window} onChange={setWindow} />
      </Group>
      <Loaded query={samples}>{(rows) => <History rows={rows} charts={CHARTS} />}</Loaded>
    </>
  );
}
