// Tasks that this screen starts.

import { useQueryClient } from "@tanstack/react-query";
import { call } from "../../api/client";
import { useAct, type ActOptions } from "../../api/hooks";
import { NODE } from "../../api/server";
import { useTaskView } from "../../shell/task-link";
import { LISTS } from "./use-content";

const LOOK_MS = 1000;

/** Waits until a task has ended and returns its result, such as `OK`; `undefined` if it has none. */
export async function ended(upid: string, signal?: AbortSignal): Promise<string | undefined> {
  for (;;) {
    const { data } = await call("get", "/nodes/{node}/tasks/{upid}/status", {
      params: { path: { node: NODE, upid } },
      ...(signal ? { signal } : {}),
    });
    if (data.status === "stopped") return data.exitstatus;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Returns what to do with a task that was just started: its log is shown, and the lists are read again at its end. */
export function useFollow(): (upid: string) => void {
  const queries = useQueryClient();
  const { open } = useTaskView();
  return (upid) => {
    open(upid);
    // Whether its result can be seen does not matter here: the lists are read again in any case.
    void ended(upid)
      .catch(() => undefined)
      .then(() => Promise.all(LISTS.map((path) => queries.invalidateQueries({ queryKey: [path] }))));
  };
}

/** Starts a task and follows it. */
export function useStart<Input>(start: (input: Input) => Promise<{ data: string }>, options: ActOptions<string> = {}) {
  const follow = useFollow();
  return useAct(async (input: Input) => (await start(input)).data, {
    ...options,
    onDone: (upid) => {
      options.onDone?.(upid);
      follow(upid);
    },
  });
}
