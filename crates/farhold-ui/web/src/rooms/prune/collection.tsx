// What is known of a datastore's garbage collections.

import { call, type Item } from "../../api/client";
import { useAct } from "../../api/hooks";
import { useRunningTasks } from "../../api/server";
import { bytes, factor } from "../../format/bytes";
import { span } from "../../format/time";
import { parseUpid } from "../../format/upid";
import { Facts } from "../../parts/facts";
import { Columns } from "../../parts/page";
import { State } from "../../parts/state";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import { useStaleAfter } from "../upkeep/job-options";
import { LastRun, NextRun, type RunState } from "../upkeep/runs";

export type Collection = Item<"/admin/gc">;

/** The garbage collections that run now: their tasks by datastore. */
export function useCollections(): ReadonlyMap<string, string> {
  const running = useRunningTasks();
  const tasks = (running.data?.data ?? []).filter((task) => task.worker_type === "garbage_collection");
  return new Map(tasks.map((task) => [parseUpid(task.upid)?.id ?? "", task.upid]));
}

/** Starts a garbage collection and shows its log. */
export function useCollect() {
  const { open } = useTaskView();
  return useAct<string, string>(
    async (store) => (await call("post", "/admin/datastore/{store}/gc", { params: { path: { store } } })).data,
    {
      refresh: ["/admin/gc", "/admin/datastore/{store}/gc", "/nodes/{node}/tasks"],
      onDone: open,
    },
  );
}

/** The last run as lists of jobs know it; the counters are those of the last one that was completed. */
export function runStateOf(gc: Collection, running?: string): RunState {
  const known = { schedule: gc.schedule, "next-run": gc["next-run"] };
  if (running) return { ...known, "last-run-upid": running };
  const state = gc["last-run-state"];
  if (state === undefined) return known;
  return {
    ...known,
    "last-run-upid": gc.upid ?? undefined,
    "last-run-state": state,
    "last-run-endtime": gc["last-run-endtime"],
  };
}

export function CollectionFacts({ gc, running }: { gc: Collection; running?: string }) {
  const state = runStateOf(gc);
  const staleAfter = useStaleAfter("gc", gc.store);
  const cache = gc["cache-stats"];
  const isBad = gc["removed-bad"] + gc["still-bad"] > 0;
  return (
    <Columns>
      <Facts
        rows={[
          [
            texts.common.state,
            running !== undefined && (
              <LastRun job={{ "last-run-upid": running }} name={texts.prune.gcDetails(gc.store)} />
            ),
          ],
          [texts.common.lastRun, <LastRun job={state} name={texts.prune.gcDetails(gc.store)} />],
          [texts.common.schedule, gc.schedule ?? texts.upkeep.byHand],
          [texts.common.nextRun, gc.schedule !== undefined && <NextRun job={state} />],
          [texts.upkeep.staleAfter, staleAfter],
          [texts.prune.duration, gc.duration !== undefined && span(gc.duration)],
          [texts.prune.dedup, factor(gc["index-data-bytes"], gc["disk-bytes"])],
        ]}
      />
      <Facts
        rows={[
          [texts.prune.indexFiles, gc["index-file-count"]],
          [texts.prune.original, bytes(gc["index-data-bytes"])],
          [texts.prune.onDisk, texts.prune.chunksOf(bytes(gc["disk-bytes"]), gc["disk-chunks"])],
          [texts.prune.removed, texts.prune.chunksOf(bytes(gc["removed-bytes"]), gc["removed-chunks"])],
          [
            texts.prune.pending,
            `${texts.prune.chunksOf(bytes(gc["pending-bytes"]), gc["pending-chunks"])}${gc["pending-chunks"] > 0 ? ` – ${texts.prune.pendingHint}` : ""}`,
          ],
          [
            texts.prune.bad,
            isBad ? (
              <State tone="bad">{texts.prune.badOf(gc["removed-bad"], gc["still-bad"])}</State>
            ) : (
              texts.common.none
            ),
          ],
          [texts.prune.cache, cache && texts.prune.cacheOf(cache.hits, cache.misses)],
        ]}
      />
    </Columns>
  );
}
