// The prune jobs of one datastore, or of all.

import { Button, Group } from "@mantine/core";
import { useState } from "react";
import { call, type Item } from "../../api/client";
import { useRead } from "../../api/hooks";
import { usePrivileges, useDatastores } from "../../api/server";
import { pathOfStore } from "../../format/acl-path";
import { RemovalDialog } from "../../parts/dialog";
import { Loaded } from "../../parts/failure";
import { keepShort } from "../../parts/fields/keep-fields";
import { State } from "../../parts/state";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";
import { useLive } from "../upkeep/live";
import { isRunning, runColumns } from "../upkeep/runs";
import { PruneJobDetails } from "./prune-job-details";
import { PruneJobDialog } from "./prune-job-dialog";
import { PruneNow, RunDialog } from "./prune-run";

type Job = Item<"/admin/prune">;

type Open =
  | { what: "add" }
  | { what: "now" }
  | { what: "edit" | "copy"; id: string }
  | { what: "run" | "remove" | "details"; job: Job };

export function PruneJobs({ store }: { store?: string }) {
  const jobs = useLive(
    (every) => useRead("/admin/prune", { params: { query: store ? { store } : {} } }, { every }),
    (list) => list.some(isRunning),
  );
  const can = usePrivileges();
  const datastores = useDatastores();
  const [open, setOpen] = useState<Open>();
  const close = () => setOpen(undefined);
  const mayChange = (on: string, ns?: string) => can(pathOfStore(on, ns), "Datastore.Modify");
  const mayAdd = store ? mayChange(store) : (datastores.data ?? []).some((entry) => mayChange(entry.store));
  const actions = (job: Job) => {
    const disabled = !mayChange(job.store, job.ns);
    return [
      { label: texts.common.details, onClick: () => setOpen({ what: "details", job }) },
      { label: texts.common.runNow, onClick: () => setOpen({ what: "run", job }), disabled },
      { label: texts.common.edit, onClick: () => setOpen({ what: "edit", id: job.id }), disabled },
      { label: texts.upkeep.copyJob, onClick: () => setOpen({ what: "copy", id: job.id }), disabled },
      { label: texts.common.remove, color: "red", onClick: () => setOpen({ what: "remove", job }), disabled },
    ];
  };
  return (
    <>
      <Group gap="xs" mb="sm">
        <Button onClick={() => setOpen({ what: "add" })} disabled={!mayAdd}>
          {texts.prune.add}
        </Button>
        {store && (
          <Button variant="default" onClick={() => setOpen({ what: "now" })} disabled={!mayChange(store)}>
            {texts.prune.pruneNow}
          </Button>
        )}
      </Group>
      <Loaded query={jobs}>
        {(list) => (
          <Table
            label={texts.prune.jobList}
            rows={list}
            columns={store ? COLUMNS.filter((column) => column.id !== "store") : COLUMNS}
            rowKey={(job) => job.id}
            actions={actions}
            onOpen={(job) => setOpen({ what: "details", job })}
            sorting={{ column: "id", direction: "up" }}
            empty={texts.prune.none}
          />
        )}
      </Loaded>
      {open?.what === "add" && <PruneJobDialog {...(store ? { store } : {})} onClose={close} />}
      {open?.what === "now" && store && <PruneNow store={store} onClose={close} />}
      {(open?.what === "edit" || open?.what === "copy") && (
        <PruneJobDialog id={open.id} isCopy={open.what === "copy"} onClose={close} />
      )}
      {open?.what === "details" && <PruneJobDetails job={open.job} onClose={close} />}
      {open?.what === "run" && <RunDialog job={open.job} onClose={close} />}
      {open?.what === "remove" && <RemoveJob id={open.job.id} onClose={close} />}
    </>
  );
}

const COLUMNS: readonly Column<Job>[] = [
  {
    id: "id",
    title: texts.upkeep.jobId,
    value: (job) => job.id,
    cell: (job) =>
      job.disable ? (
        <Group gap={6}>
          {job.id}
          <State tone="quiet">{texts.upkeep.disabled}</State>
        </Group>
      ) : (
        job.id
      ),
  },
  { id: "store", title: texts.common.datastore, value: (job) => job.store, phone: false },
  {
    id: "ns",
    title: texts.common.namespace,
    value: (job) => job.ns ?? texts.common.rootNamespace,
    phone: false,
  },
  {
    id: "depth",
    title: texts.upkeep.depth,
    value: (job) => job["max-depth"] ?? texts.upkeep.depthFull,
    phone: false,
  },
  { id: "keeps", title: texts.prune.keeps, value: keepShort },
  ...runColumns<Job>((job) => job.id),
  { id: "comment", title: texts.common.comment, value: (job) => job.comment, phone: false },
];

function RemoveJob({ id, onClose }: { id: string; onClose: () => void }) {
  return (
    <RemovalDialog
      title={texts.prune.remove(id)}
      name={id}
      remove={() => call("delete", "/config/prune/{id}", { params: { path: { id } } })}
      refresh={["/admin/prune", "/config/prune"]}
      done={texts.common.removed(id)}
      onClose={onClose}
    >
      {texts.prune.removal(id)}
    </RemovalDialog>
  );
}
