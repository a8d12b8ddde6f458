// Tasks that this screen starts.

import { call } from "../../api/client";
import { useAct, type ActOptions } from "../../api/hooks";
import { NODE } from "../../api/server";
import { useTaskView } from "../../shell/task-link";

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

/** Starts a task and shows its log. */
export function useStart<Input>(start: (input: Input) => Promise<{ data: string }>, options: ActOptions<string> = {}) {
  const { open } = useTaskView();
  return useAct(async (input: Input) => (await start(input)).data, {
    ...options,
    onDone: (upid) => {
      options.onDone?.(upid);
      open(upid);
    },
  });
}
