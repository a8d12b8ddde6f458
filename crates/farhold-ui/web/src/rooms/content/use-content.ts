// What a namespace holds, kept up to date without asking for long lists all the time.

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef } from "react";
import { useRead } from "../../api/hooks";
import { CALM_SECONDS, useRunningTasks } from "../../api/server";
import { parseUpid } from "../../format/upid";
import { inNamespace, joined } from "./model";

/** Snapshots from which on their list is read again only rarely: it is megabytes long then. */
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
  const groups = useRead("/admin/datastore/{store}/groups", init, { every: CALM_SECONDS });
  const count = groups.data?.reduce((sum, group) => sum + group["backup-count"], 0) ?? 0;
  const snapshots = useRead("/admin/datastore/{store}/snapshots", init, {
    every: count < MANY_SNAPSHOTS ? CALM_SECONDS : MANY_SECONDS,
  });
  const all = useMemo(() => joined(groups.data, snapshots.data), [groups.data, snapshots.data]);
  return { groups, snapshots, all };
}

/** Has the lists read again when a task that works on the datastore has ended. */
export function useRefreshAfterTasks(store: string): void {
  const queries = useQueryClient();
  const tasks = useRunningTasks().data?.data;
  const before = useRef<ReadonlySet<string>>(new Set());
  useEffect(() => {
    if (!tasks) return;
    const running = new Set(tasks.flatMap(({ upid }) => (isAbout(store, upid) ? [upid] : [])));
    const hasEnded = [...before.current].some((upid) => !running.has(upid));
    before.current = running;
    if (hasEnded) for (const path of LISTS) void queries.invalidateQueries({ queryKey: [path] });
  }, [tasks, store, queries]);
}

function isAbout(store: string, upid: string): boolean {
  return parseUpid(upid)?.id.split(":").includes(store) ?? false;
}
