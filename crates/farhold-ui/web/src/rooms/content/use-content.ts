// What a namespace holds, kept up to date without asking for long lists all the time.

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { useRead } from "../../api/hooks";
import { CALM_SECONDS, useRunningTasks } from "../../api/server";
import { parseUpid } from "../../format/upid";
import { useTaskView } from "../../shell/task-link";
import { inNamespace, joined } from "./model";

/** Snapshots from which on the lists are read again only rarely: they are megabytes long then. */
const MANY_SNAPSHOTS = 2000;
const MANY_SECONDS = 300;

export const LISTS = [
  "/admin/datastore/{store}/groups",
  "/admin/datastore/{store}/snapshots",
  "/admin/datastore/{store}/namespace",
] as const;

/** Reads groups and snapshots of a namespace: one call each. */
export function useContent(store: string, ns: string) {
  const init = { params: { path: { store }, query: inNamespace(ns) } };
  const [isLong, setLong] = useState(false);
  const every = isLong ? MANY_SECONDS : CALM_SECONDS;
  const groups = useRead("/admin/datastore/{store}/groups", init, { every });
  const snapshots = useRead("/admin/datastore/{store}/snapshots", init, { every });
  const count = groups.data?.reduce((sum, group) => sum + group["backup-count"], 0) ?? 0;
  if (count >= MANY_SNAPSHOTS !== isLong) setLong(!isLong);
  const all = useMemo(() => joined(groups.data, snapshots.data), [groups.data, snapshots.data]);
  return { groups, snapshots, all };
}

/** Has the lists read again when a task that works on the datastore has ended, or when its log was closed. */
export function useRefreshAfterTasks(store: string): void {
  const queries = useQueryClient();
  const tasks = useRunningTasks().data?.data;
  const { upid: shown } = useTaskView();
  const before = useRef<ReadonlySet<string>>(new Set());
  useEffect(() => {
    if (!tasks) return;
    // A short task may never be seen running, but whoever started it sees its log.
    const watched = new Set(shown === null ? [] : [shown]);
    for (const { upid } of tasks) if (isAbout(store, upid)) watched.add(upid);
    const hasEnded = [...before.current].some((upid) => !watched.has(upid));
    before.current = watched;
    if (hasEnded) for (const path of LISTS) void queries.invalidateQueries({ queryKey: [path] });
  }, [tasks, shown, store, queries]);
}

function isAbout(store: string, upid: string): boolean {
  return parseUpid(upid)?.id.split(":").includes(store) ?? false;
}
