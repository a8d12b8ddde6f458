// Pruning one group: what would be kept and removed is shown while the numbers are typed.

import { useForm } from "@mantine/form";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { call } from "../../api/client";
import type { ApiFailure } from "../../api/failure";
import { useRead } from "../../api/hooks";
import { NODE } from "../../api/server";
import { dateTime, snapshotTime } from "../../format/time";
import { RemovalDialog, type Form } from "../../parts/dialog";
import { Failure } from "../../parts/failure";
import { keepOf, keepsAll, keepValues, type Keep, type KeepValues } from "../../parts/fields/keep";
import { KeepFields } from "../../parts/fields/keep-fields";
import { State } from "../../parts/state";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";
import type { Place } from "./download";
import { groupParameters, inNamespace, type Group } from "./model";
import { reasons, type Reason } from "./prune-reasons";
import { LISTS } from "./use-content";

const words = texts.content.pruneDialog;
/** Rest after a key before the server is asked. */
const PAUSE_MS = 300;

interface Planned {
  time: number;
  isKept: boolean;
  reason?: Reason;
}

async function prune({ store, ns }: Place, group: Group, keep: Keep, isDryRun: boolean) {
  const { data } = await call("post", "/admin/datastore/{store}/prune", {
    params: { path: { store } },
    body: { ...inNamespace(ns), ...groupParameters(group), ...keep, "dry-run": isDryRun },
  });
  return typeof data === "string" ? [] : data;
}

export function PruneGroupDialog({ place, group, onClose }: { place: Place; group: Group; onClose: () => void }) {
  const form = useForm<KeepValues>({ initialValues: keepValues() }) as Form<KeepValues>;
  const [values] = useDebouncedValue(form.values, PAUSE_MS);
  const settled = useMemo(() => keepOf(values), [values]);
  const hasRules = !keepsAll(keepOf(form.values));
  const time = useRead("/nodes/{node}/time", { params: { path: { node: NODE } } });
  const plan = useQuery<Awaited<ReturnType<typeof prune>>, ApiFailure>({
    queryKey: ["prune plan", place, group.name, settled],
    queryFn: () => prune(place, group, settled, true),
    enabled: !keepsAll(settled),
    staleTime: 0,
    gcTime: 0,
    placeholderData: (before) => before,
  });
  const zone = time.data?.timezone;
  const rows = useMemo((): readonly Planned[] => {
    const why = zone === undefined ? undefined : reasons(group.snapshots.map(prunable), settled, zone);
    return (plan.data ?? [])
      .map((one): Planned => {
        const reason = why?.get(one["backup-time"]);
        // What was reckoned here is shown only if it comes to the same as what the server says.
        const fits = reason !== undefined && one.keep !== (reason === "unfinished" || reason === "surplus");
        return { time: one["backup-time"], isKept: one.keep, ...(fits ? { reason } : {}) };
      })
      .reverse();
  }, [plan.data, group.snapshots, settled, zone]);
  const removed = rows.filter((row) => !row.isKept).length;
  const isCurrent = hasRules && values === form.values && plan.data !== undefined && !plan.isPlaceholderData;
  return (
    <RemovalDialog
      title={texts.content.pruneOf(group.name)}
      name={group.name}
      size="xl"
      submit={texts.content.prune}
      isWaiting={!isCurrent || removed === 0 || plan.isError}
      remove={() => prune(place, group, settled, false)}
      refresh={LISTS}
      done={(result) => texts.content.namespaces.removed(0, result.filter((one) => !one.keep).length, 0)}
      onClose={onClose}
      details={
        <>
          <KeepFields form={form} />
          <Failure error={hasRules ? plan.error : null} />
          {hasRules && rows.length > 0 && (
            <Table
              label={words.preview}
              rows={rows}
              columns={COLUMNS}
              rowKey={(row) => String(row.time)}
              filter={false}
              maxHeight="40dvh"
            />
          )}
        </>
      }
    >
      {!hasRules
        ? words.none
        : removed === 0 && isCurrent
          ? words.nothing
          : words.outcome(removed, rows.length - removed)}
    </RemovalDialog>
  );
}

const prunable = (snapshot: Group["snapshots"][number]) => ({
  time: snapshot.time,
  isFinished: snapshot.size !== undefined,
  isProtected: snapshot.isProtected,
});

const COLUMNS: readonly Column<Planned>[] = [
  { id: "name", title: texts.content.backup, value: (row) => snapshotTime(row.time) },
  {
    id: "time",
    title: texts.content.time,
    value: (row) => row.time,
    cell: (row) => dateTime(row.time),
    phone: false,
  },
  {
    id: "decision",
    title: words.decision,
    value: (row) => (row.isKept ? words.keepIt : words.removeIt),
    cell: (row) => <State tone={row.isKept ? "good" : "bad"}>{row.isKept ? words.keepIt : words.removeIt}</State>,
  },
  { id: "reason", title: words.reason, value: (row) => (row.reason ? words.reasons[row.reason] : "") },
];
