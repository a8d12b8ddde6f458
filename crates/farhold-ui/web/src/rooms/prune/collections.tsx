// The garbage collections of all datastores, or of one.

import { useState } from "react";
import { useRead } from "../../api/hooks";
import { usePrivileges } from "../../api/server";
import { bytes, factor } from "../../format/bytes";
import { Dialog } from "../../parts/dialog";
import { Loaded } from "../../parts/failure";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";
import { useLive } from "../upkeep/live";
import { runColumns, type RunState } from "../upkeep/runs";
import { CollectionFacts, runStateOf, useCollect, useCollections, type Collection } from "./collection";
import { CollectionDialog } from "./collection-dialog";
import { CollectionRuns } from "./collection-runs";

interface Open {
  what: "schedule" | "runs" | "details";
  store: string;
}

type Row = RunState & { gc: Collection };

export function Collections({ store }: { store?: string }) {
  const collecting = useCollections();
  const list = useLive(
    (every) => useRead("/admin/gc", { params: { query: store ? { store } : {} } }, { every }),
    () => collecting.size > 0,
  );
  const can = usePrivileges();
  const start = useCollect();
  const [open, setOpen] = useState<Open>();
  const close = () => setOpen(undefined);
  const rows = (list.data ?? []).map((gc): Row => ({ ...runStateOf(gc, collecting.get(gc.store)), gc }));
  const actions = ({ gc }: Row) => {
    const mayChange = can(`/datastore/${gc.store}`, "Datastore.Modify");
    return [
      { label: texts.common.details, onClick: () => setOpen({ what: "details", store: gc.store }) },
      {
        label: texts.prune.start,
        onClick: () => start.mutate(gc.store),
        disabled: !mayChange || collecting.has(gc.store),
      },
      {
        label: texts.prune.gcSchedule,
        onClick: () => setOpen({ what: "schedule", store: gc.store }),
        disabled: !mayChange,
      },
      { label: texts.upkeep.runs, onClick: () => setOpen({ what: "runs", store: gc.store }) },
    ];
  };
  const opened = open?.what === "details" ? rows.find(({ gc }) => gc.store === open.store) : undefined;
  const running = opened && collecting.get(opened.gc.store);
  return (
    <>
      <Loaded query={list}>
        {() => (
          <Table
            label={texts.prune.gc}
            rows={rows}
            columns={COLUMNS}
            rowKey={({ gc }) => gc.store}
            actions={actions}
            onOpen={({ gc }) => setOpen({ what: "details", store: gc.store })}
            sorting={{ column: "store", direction: "up" }}
            empty={texts.prune.gcNone}
          />
        )}
      </Loaded>
      {opened && (
        <Dialog title={texts.prune.gcDetails(opened.gc.store)} onClose={close}>
          <CollectionFacts gc={opened.gc} {...(running ? { running } : {})} />
        </Dialog>
      )}
      {open?.what === "schedule" && <CollectionDialog store={open.store} onClose={close} />}
      {open?.what === "runs" && <CollectionRuns store={open.store} onClose={close} />}
    </>
  );
}

const COLUMNS: readonly Column<Row>[] = [
  { id: "store", title: texts.common.datastore, value: ({ gc }) => gc.store },
  ...runColumns<Row>(({ gc }) => texts.prune.gcDetails(gc.store)),
  {
    id: "removed",
    title: texts.prune.removed,
    value: ({ gc }) => gc["removed-bytes"],
    cell: ({ gc }) => bytes(gc["removed-bytes"]),
    align: "right",
    phone: false,
  },
  {
    id: "pending",
    title: texts.prune.pending,
    value: ({ gc }) => gc["pending-bytes"],
    cell: ({ gc }) => bytes(gc["pending-bytes"]),
    align: "right",
    phone: false,
  },
  {
    id: "onDisk",
    title: texts.prune.onDisk,
    value: ({ gc }) => gc["disk-bytes"],
    cell: ({ gc }) => bytes(gc["disk-bytes"]),
    align: "right",
    phone: false,
  },
  {
    id: "dedup",
    title: texts.prune.dedup,
    value: ({ gc }) => (gc["disk-bytes"] > 0 ? gc["index-data-bytes"] / gc["disk-bytes"] : undefined),
    cell: ({ gc }) => factor(gc["index-data-bytes"], gc["disk-bytes"]),
    align: "right",
    phone: false,
  },
];
