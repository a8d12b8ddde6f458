// The sync jobs of a datastore, or of all: how they are, and everything that can be done with them.

import { Button, Group, Select, Text } from "@mantine/core";
import { useMemo, useState } from "react";
import { call } from "../../api/client";
import { useAct, useRead } from "../../api/hooks";
import { useDatastores, usePrivileges } from "../../api/server";
import { nowSeconds } from "../../format/time";
import { RemovalDialog } from "../../parts/dialog";
import { Loaded } from "../../parts/failure";
import { Table, type RowAction } from "../../parts/table";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import { columnsOf } from "./columns";
import { SyncJobDialog } from "./editor/sync-job-dialog";
import { DetailsDialog } from "./details-dialog";
import { isShown, type HealthFilter, type JobRow } from "./job-row";
import { ExplainDialog } from "./plan/explain-dialog";
import { PlanDialog } from "./plan/plan-dialog";
import { mayAdd, mayChange } from "./rights";
import { JOB_PATHS, useJobs } from "./use-jobs";

const words = texts.sync;

/** What stands over the list. */
type Open = { what: "details" | "plan" | "explain" | "edit" | "copy" | "remove"; id: string } | { what: "add" };

export function SyncJobs({ store }: { store?: string }) {
  const { jobs, rows } = useJobs(store);
  const can = usePrivileges();
  const permissions = useRead("/access/permissions");
  const stores = useDatastores();
  const task = useTaskView();
  const [open, setOpen] = useState<Open>();
  const [filter, setFilter] = useState<HealthFilter>("all");
  const close = () => setOpen(undefined);
  const run = useAct((id: string) => call("post", "/admin/sync/{id}/run", { params: { path: { id } } }), {
    refresh: [...JOB_PATHS],
    onDone: ({ data }) => task.open(data),
  });
  const columns = useMemo(() => columnsOf(store === undefined, nowSeconds()), [store, rows]);
  const isAdding = mayAdd(can, permissions.data, store ? [store] : (stores.data?.map((one) => one.store) ?? []));

  const actions = (row: JobRow): RowAction[] => {
    const disabled = !mayChange(can, row.job);
    const upid = row.job["last-run-upid"];
    const show = (what: Exclude<Open["what"], "add">) => () => setOpen({ what, id: row.id });
    return [
      { label: words.run, onClick: () => (close(), run.mutate(row.id)), disabled },
      ...(upid
        ? [
            {
              label: row.health === "running" ? words.runningLog : words.log,
              onClick: () => (close(), task.open(upid)),
            },
          ]
        : []),
      { label: words.plan, onClick: show("plan"), disabled },
      { label: words.explain, onClick: show("explain"), disabled },
      { label: words.edit, onClick: show("edit"), disabled },
      { label: words.copy, onClick: show("copy") },
      { label: words.remove, onClick: show("remove"), color: "red", disabled },
    ];
  };

  const shown = useMemo(() => rows?.filter(({ health }) => isShown(health, filter)) ?? [], [rows, filter]);
  const current = open && open.what !== "add" ? rows?.find(({ id }) => id === open.id) : undefined;
  return (
    <>
      <Group mb="sm" gap="xs">
        {isAdding && <Button onClick={() => setOpen({ what: "add" })}>{words.add}</Button>}
        {rows && rows.length > 1 && (
          <Select
            size="sm"
            w="12rem"
            aria-label={words.healthLabel}
            value={filter}
            allowDeselect={false}
            data={(Object.keys(words.health) as HealthFilter[]).map((value) => ({
              value,
              label: words.health[value],
            }))}
            onChange={(value) => setFilter((value ?? "all") as HealthFilter)}
          />
        )}
      </Group>
      <Loaded query={jobs}>
        {(all) => (
          <Table
            label={words.title}
            rows={shown}
            columns={columns}
            rowKey={({ id }) => id}
            rowName={({ id }) => id}
            sorting={{ column: "id", direction: "up" }}
            actions={actions}
            onOpen={({ id }) => setOpen({ what: "details", id })}
            empty={
              <Text size="sm">
                {all.length === 0 ? (isAdding ? words.empty : words.emptyForReaders) : texts.common.noMatch}
              </Text>
            }
          />
        )}
      </Loaded>
      {open?.what === "details" && current && (
        <DetailsDialog row={current} actions={actions(current)} onClose={close} />
      )}
      {open?.what === "plan" && <PlanDialog id={open.id} onClose={close} />}
      {open?.what === "explain" && current && <ExplainDialog job={current.job} onClose={close} />}
      {open?.what === "add" && <SyncJobDialog {...(store ? { store } : {})} onClose={close} />}
      {open?.what === "edit" && <SyncJobDialog id={open.id} onClose={close} />}
      {open?.what === "copy" && <SyncJobDialog id={open.id} isCopy onClose={close} />}
      {open?.what === "remove" && current && (
        <RemovalDialog
          title={words.removal.title(current.id)}
          name={current.id}
          remove={() => call("delete", "/config/sync/{id}", { params: { path: { id: current.id } } })}
          refresh={[...JOB_PATHS]}
          done={texts.common.removed(current.id)}
          onClose={close}
        >
          {words.removal.what(current.id, current.other)}
          {current.health === "running" && <p>{words.removal.runs}</p>}
        </RemovalDialog>
      )}
    </>
  );
}
