// One task: its log, its progress, and how to stop it.

import { Code } from "@mantine/core";
import { LIVE_SECONDS, NODE } from "../../api/server";
import { useAnswer } from "../../api/hooks";
import { Dialog } from "../../parts/dialog";
import { Loaded } from "../../parts/failure";
import { useTaskView } from "../../shell/task-link";

export function TaskDialog() {
  const { upid, close } = useTaskView();
  if (!upid) return null;
  return (
    <Dialog title={upid} size="xl" onClose={close}>
      <Log upid={upid} />
    </Dialog>
  );
}

function Log({ upid }: { upid: string }) {
  const log = useAnswer(
    "/nodes/{node}/tasks/{upid}/log",
    { params: { path: { node: NODE, upid }, query: { start: 0, limit: 500 } } },
    { every: LIVE_SECONDS },
  );
  return <Loaded query={log}>{(answer) => <Code block>{answer.data.map((line) => line.t).join("\n")}</Code>}</Loaded>;
}
