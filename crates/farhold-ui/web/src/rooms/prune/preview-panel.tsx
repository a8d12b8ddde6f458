// A dry run of a prune: what would stay and what would go, snapshot by snapshot.

import { Button, Group, Loader, Switch, Text } from "@mantine/core";
import { useMemo, useState } from "react";
import { call } from "../../api/client";
import { useAct, useAnswer, useRead } from "../../api/hooks";
import { NODE } from "../../api/server";
import type { Keep } from "../../parts/fields/keep";
import { Failure, Loaded } from "../../parts/failure";
import { State, type Tone } from "../../parts/state";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";
import { countsOf, previewOf, withReasons, type Mark, type Preview } from "./preview";

export interface PruneScope {
  store: string;
  ns: string;
  /** Absent for all levels. */
  depth?: number;
  keep: Keep;
}

/** Returns the parameters of a prune of many groups. */
export function pruneBody({ ns, depth, keep }: PruneScope) {
  return { ...keep, ...(ns === "" ? {} : { ns }), ...(depth === undefined ? {} : { "max-depth": depth }) };
}

/** Seconds between two looks at the dry run, which is short. */
const EVERY_SECONDS = 1;

/** A button that starts a dry run, and its result. Give it a `key` of the settings, so that it forgets older results. */
export function PrunePreview({ scope }: { scope: PruneScope }) {
  // The same as long as the key is.
  const [asked] = useState(scope);
  const start = useDryRun(asked);
  return (
    <div>
      <Button
        variant="default"
        onClick={() => start.mutate()}
        loading={start.isPending}
        disabled={asked.store === "" || start.data !== undefined}
      >
        {texts.prune.preview}
      </Button>
      <Failure error={start.error} />
      {start.data && <DryRun upid={start.data} keep={asked.keep} />}
    </div>
  );
}

/** Starts a dry run; its value is the task. */
export function useDryRun(scope: PruneScope) {
  return useAct<void, string>(
    async () => {
      const answer = await call("post", "/admin/datastore/{store}/prune-datastore", {
        params: { path: { store: scope.store } },
        body: { ...pruneBody(scope), "dry-run": true },
      });
      return answer.data;
    },
    { quiet: true },
  );
}

/** The state of a dry run; `isOver` once it has ended. */
export function useDryRunState(upid: string | undefined) {
  const [isOver, setOver] = useState(false);
  const status = useRead(
    "/nodes/{node}/tasks/{upid}/status",
    { params: { path: { node: NODE, upid: upid ?? "" } } },
    { enabled: upid !== undefined, ...(isOver ? {} : { every: EVERY_SECONDS }) },
  );
  if (!isOver && status.data?.status === "stopped") setOver(true);
  return { status, isOver };
}

/** Waits for a dry run and shows what it says. */
export function DryRun({ upid, keep }: { upid: string; keep: Keep }) {
  const { status, isOver } = useDryRunState(upid);
  const result = status.data?.exitstatus;
  const log = useAnswer(
    "/nodes/{node}/tasks/{upid}/log",
    { params: { path: { node: NODE, upid }, query: { start: 0, limit: 0 } } },
    { enabled: isOver },
  );
  if (status.error) return <Failure error={status.error} />;
  if (!isOver) {
    return (
      <Group gap="xs" mt="xs" role="status">
        <Loader size="xs" aria-hidden />
        <Text size="sm">{texts.prune.previewRuns}</Text>
      </Group>
    );
  }
  return (
    <>
      {result !== "OK" && <Failure error={new Error(result ?? texts.common.unknown)} />}
      <Loaded query={log}>{(answer) => <Snapshots log={answer.data} keep={keep} />}</Loaded>
    </>
  );
}

const TONES: Record<Mark, Tone> = { keep: "good", partial: "quiet", protected: "good", remove: "bad" };

const COLUMNS: readonly Column<Preview>[] = [
  {
    id: "group",
    title: texts.prune.group,
    value: ({ ns, group }) => `${ns} ${group}`,
    cell: ({ ns, group }) => (
      <div>
        {group}
        {ns !== "" && (
          <Text size="xs" c="dimmed">
            {ns}
          </Text>
        )}
      </div>
    ),
  },
  { id: "time", title: texts.prune.snapshot, value: ({ time }) => time },
  {
    id: "mark",
    title: texts.prune.outcome,
    value: ({ mark }) => texts.prune.marks[mark],
    cell: ({ mark }) => <State tone={TONES[mark]}>{texts.prune.marks[mark]}</State>,
  },
  {
    id: "reason",
    title: texts.prune.why,
    value: ({ reason }) => reason && texts.content.pruneDialog.reasons[reason],
    phone: false,
  },
];

function Snapshots({ log, keep }: { log: readonly { t: string }[]; keep: Keep }) {
  const [isRemovedOnly, setRemovedOnly] = useState(false);
  // The server's days count.
  const zone = useRead("/nodes/{node}/time", { params: { path: { node: NODE } } }).data?.timezone;
  const preview = useMemo(() => {
    const found = previewOf(log.map(({ t }) => t));
    return zone === undefined ? found : withReasons(found, keep, zone);
  }, [log, keep, zone]);
  const rows = useMemo(
    () => (isRemovedOnly ? preview.filter(({ mark }) => mark === "remove") : preview),
    [preview, isRemovedOnly],
  );
  const counts = countsOf(preview);
  return (
    <div>
      <Text size="sm" my="xs" fw={600} role="status">
        {texts.prune.counts(counts.removed, counts.snapshots, counts.touched, counts.groups)}
      </Text>
      {preview.length > 0 && (
        <Table
          label={texts.prune.previewOf}
          rows={rows}
          columns={COLUMNS}
          rowKey={({ ns, group, time }) => `${ns}:${group}/${time}`}
          maxHeight="35dvh"
          toolbar={
            <Switch
              size="sm"
              label={texts.prune.removedOnly}
              checked={isRemovedOnly}
              onChange={(event) => setRemovedOnly(event.currentTarget.checked)}
            />
          }
        />
      )}
    </div>
  );
}
