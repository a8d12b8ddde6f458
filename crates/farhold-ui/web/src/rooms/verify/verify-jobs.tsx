// The verify jobs of one datastore, or of all.

import { Button, Group } from "@mantine/core";
import { useState } from "react";
import { call, type Item } from "../../api/client";
import { useAct, useRead } from "../../api/hooks";
import { useDatastores, usePrivileges } from "../../api/server";
import { pathOfStore } from "../../format/acl-path";
import { RemovalDialog } from "../../parts/dialog";
import { Loaded } from "../../parts/failure";
import { Table, type Column } from "../../parts/table";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import { RepairDialog } from "../datastores/repair";
import { useLive } from "../upkeep/live";
import { isRunning, runColumns } from "../upkeep/runs";
import { verifiesShort } from "./verify-fields";
import { VerifyJobDetails } from "./verify-job-details";
import { VerifyJobDialog } from "./verify-job-dialog";
import { VerifyNow } from "./verify-now";

type Job = Item<"/admin/verify">;

type Open =
  { what: "add" | "now" | "repair" } | { what: "edit" | "copy" | "remove"; id: string } | { what: "details"; job: Job };

export function VerifyJobs({ store }: { store?: string }) {
  const jobs = useLive(
    (every) => useRead("/admin/verify", { params: { query: store ? { store } : {} } }, { every }),
    (list) => list.some(isRunning),
  );
  const can = usePrivileges();
  const datastores = useDatastores();
  const task = useTaskView();
  const [open, setOpen] = useState<Open>();
  const close = () => setOpen(undefined);
  const run = useAct<string, string>(
    async (id) => (await call("post", "/admin/verify/{id}/run", { params: { path: { id } } })).data,
    { refresh: ["/admin/verify", "/nodes/{node}/tasks"], onDone: task.open },
  );
  const mayChange = (on: string, ns?: string) => can(pathOfStore(on, ns), "Datastore.Verify");
  const mayAdd = store ? mayChange(store) : (datastores.data ?? []).some((entry) => mayChange(entry.store));
  // Owners may verify their own backups.
  const mayStart = store !== undefined && (mayChange(store) || can(`/datastore/${store}`, "Datastore.Backup"));
  const actions = (job: Job) => {
    const disabled = !mayChange(job.store, job.ns);
    const { id } = job;
    return [
      { label: texts.common.details, onClick: () => setOpen({ what: "details", job }) },
      { label: texts.common.runNow, onClick: () => run.mutate(id), disabled: disabled || isRunning(job) },
      { label: texts.common.edit, onClick: () => setOpen({ what: "edit", id }), disabled },
      { label: texts.upkeep.copyJob, onClick: () => setOpen({ what: "copy", id }), disabled },
      { label: texts.common.remove, color: "red", onClick: () => setOpen({ what: "remove", id }), disabled },
    ];
  };
  return (
    <>
      <Group gap="xs" mb="sm">
        <Button onClick={() => setOpen({ what: "add" })} disabled={!mayAdd}>
          {texts.verify.add}
        </Button>
        {store && (
          <>
            <Button variant="default" onClick={() => setOpen({ what: "now" })} disabled={!mayStart}>
              {texts.verify.now}
            </Button>
            <Button
              variant="default"
              onClick={() => setOpen({ what: "repair" })}
              disabled={!mayAdd || !can(`/datastore/${store}`, "Datastore.Modify")}
            >
              {texts.verify.repair}
            </Button>
          </>
        )}
      </Group>
      <Loaded query={jobs}>
        {(list) => (
          <Table
            label={texts.verify.jobList}
            rows={list}
            columns={store ? COLUMNS.filter((column) => column.id !== "store") : COLUMNS}
            rowKey={(job) => job.id}
            actions={actions}
            onOpen={(job) => setOpen({ what: "details", job })}
            sorting={{ column: "id", direction: "up" }}
            empty={texts.verify.none}
          />
        )}
      </Loaded>
      {open?.what === "add" && <VerifyJobDialog {...(store ? { store } : {})} onClose={close} />}
      {open?.what === "now" && store && <VerifyNow store={store} onClose={close} />}
      {open?.what === "repair" && store && <RepairDialog store={store} onClose={close} />}
      {(open?.what === "edit" || open?.what === "copy") && (
        <VerifyJobDialog id={open.id} isCopy={open.what === "copy"} onClose={close} />
      )}
      {open?.what === "details" && <VerifyJobDetails job={open.job} onClose={close} />}
      {open?.what === "remove" && <RemoveJob id={open.id} onClose={close} />}
    </>
  );
}

const COLUMNS: readonly Column<Job>[] = [
  { id: "id", title: texts.upkeep.jobId, value: (job) => job.id },
  { id: "store", title: texts.common.datastore, value: (job) => job.store, phone: false },
  { id: "ns", title: texts.common.namespace, value: (job) => job.ns ?? texts.common.rootNamespace, phone: false },
  { id: "depth", title: texts.upkeep.depth, value: (job) => job["max-depth"] ?? texts.upkeep.depthFull, phone: false },
  { id: "what", title: texts.verify.what, value: verifiesShort, phone: false },
  ...runColumns<Job>((job) => job.id),
  { id: "comment", title: texts.common.comment, value: (job) => job.comment, phone: false },
];

function RemoveJob({ id, onClose }: { id: string; onClose: () => void }) {
  return (
    <RemovalDialog
      title={texts.verify.remove(id)}
      name={id}
      remove={() => call("delete", "/config/verify/{id}", { params: { path: { id } } })}
      refresh={["/admin/verify", "/config/verify"]}
      done={texts.common.removed(id)}
      onClose={onClose}
    >
      {texts.verify.removal(id)}
    </RemovalDialog>
  );
}
