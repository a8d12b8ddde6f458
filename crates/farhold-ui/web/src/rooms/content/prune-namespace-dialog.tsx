// Pruning all groups of a namespace and those below it, after a dry run that shows what would happen.

import { Button, Group as Row, NumberInput, Text } from "@mantine/core";
import { useState } from "react";
import { call } from "../../api/client";
import { useAct } from "../../api/hooks";
import { NODE } from "../../api/server";
import { RemovalDialog } from "../../parts/dialog";
import { Failure } from "../../parts/failure";
import { State } from "../../parts/state";
import { Table, type Column } from "../../parts/table";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import type { Place } from "./download";
import { keepBody, NO_KEEP, type KeepValues } from "./keep";
import { KeepFields } from "./keep-fields";
import { inNamespace } from "./model";
import { nameOf } from "./namespaces";
import { plannedOf, type PlannedSnapshot } from "./prune-log";
import { ended, useFollow } from "./tasks";

const words = texts.content.pruneDialog;
const MAX_DEPTH = 7;
/** Lines of a dry run that are read: a hundred thousand snapshots. */
const MAX_LINES = 100_000;

interface Settings {
  keep: KeepValues;
  depth: number | "";
}

async function start({ store, ns }: Place, { keep, depth }: Settings, isDryRun: boolean): Promise<string> {
  const { data } = await call("post", "/admin/datastore/{store}/prune-datastore", {
    params: { path: { store } },
    body: {
      ...inNamespace(ns),
      ...keepBody(keep),
      ...(depth === "" ? {} : { "max-depth": depth }),
      "dry-run": isDryRun,
    },
  });
  return data;
}

interface DryRun {
  upid: string;
  settings: Settings;
  planned: readonly PlannedSnapshot[];
  isComplete: boolean;
}

async function dryRun(place: Place, settings: Settings): Promise<DryRun> {
  const upid = await start(place, settings, true);
  await ended(upid);
  const { data, total } = await call("get", "/nodes/{node}/tasks/{upid}/log", {
    params: { path: { node: NODE, upid }, query: { start: 0, limit: MAX_LINES } },
  });
  return { upid, settings, planned: plannedOf(data.map((line) => line.t)), isComplete: total <= data.length };
}

export function PruneNamespaceDialog({ place, onClose }: { place: Place; onClose: () => void }) {
  const [settings, setSettings] = useState<Settings>({ keep: NO_KEEP, depth: "" });
  const task = useTaskView();
  const follow = useFollow();
  const dry = useAct(() => dryRun(place, settings), { quiet: true });
  const run = dry.data;
  const hasRules = Object.keys(keepBody(settings.keep)).length > 0;
  const isCurrent = run !== undefined && run.settings === settings;
  const removed = run?.planned.filter((one) => one.decision === "remove").length ?? 0;
  return (
    <RemovalDialog
      title={texts.content.namespaces.pruneOf(nameOf(place.ns))}
      name={place.ns === "" ? place.store : place.ns}
      size="xl"
      submit={texts.content.prune}
      isWaiting={!isCurrent || removed === 0}
      remove={() => start(place, settings, false)}
      onDone={follow}
      onClose={onClose}
      details={
        <>
          <KeepFields
            values={settings.keep}
            onChange={(keep) => setSettings({ ...settings, keep })}
            errors={dry.error?.fields ?? {}}
          />
          <NumberInput
            label={texts.content.namespaces.maxDepth}
            description={texts.content.namespaces.maxDepthHint}
            min={0}
            max={MAX_DEPTH}
            allowDecimal={false}
            value={settings.depth}
            onChange={(depth) => setSettings({ ...settings, depth: typeof depth === "number" ? depth : "" })}
          />
          <Row gap="xs">
            <Button
              variant="default"
              disabled={!hasRules}
              loading={dry.isPending}
              onClick={() => dry.mutate(undefined)}
            >
              {words.dryRun}
            </Button>
            {run && (
              <Button variant="subtle" onClick={() => task.open(run.upid)}>
                {words.log}
              </Button>
            )}
          </Row>
          <Failure error={dry.error} />
          {run && isCurrent && (
            <Table
              label={words.preview}
              rows={run.planned}
              columns={COLUMNS}
              rowKey={(row) => `${row.ns}:${row.name}`}
              sorting={{ column: "decision", direction: "down" }}
              maxHeight="40dvh"
            />
          )}
          {run && isCurrent && !run.isComplete && <Text size="sm">{words.incomplete(MAX_LINES)}</Text>}
        </>
      }
    >
      {!hasRules
        ? words.none
        : dry.isPending
          ? words.dryRunRuns
          : run === undefined
            ? words.dryRunFirst
            : !isCurrent
              ? words.dryRunOther
              : removed === 0
                ? words.nothing
                : words.outcome(removed, run.planned.length - removed)}
    </RemovalDialog>
  );
}

const COLUMNS: readonly Column<PlannedSnapshot>[] = [
  { id: "ns", title: texts.common.namespace, value: (row) => row.ns, cell: (row) => nameOf(row.ns), phone: false },
  { id: "name", title: texts.content.backup, value: (row) => row.name },
  {
    id: "decision",
    title: words.decision,
    value: (row) => words.decisions[row.decision],
    cell: (row) => <State tone={row.decision === "remove" ? "bad" : "good"}>{words.decisions[row.decision]}</State>,
  },
];
