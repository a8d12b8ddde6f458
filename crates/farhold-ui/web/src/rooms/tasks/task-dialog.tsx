// One task: what it is, how far it is, its log, and how to stop it.

import { Button, Group, Stack, Text } from "@mantine/core";
import { useMemo, useState } from "react";
import { call, type Answer } from "../../api/client";
import { useAct, useRead } from "../../api/hooks";
import { useProgress, type TaskProgress } from "../../api/progress";
import { LIVE_SECONDS, NODE } from "../../api/server";
import { bytes } from "../../format/bytes";
import { dateTime, nowSeconds, span } from "../../format/time";
import { parseUpid } from "../../format/upid";
import { Copyable } from "../../parts/copy";
import { Dialog } from "../../parts/dialog";
import { Facts } from "../../parts/facts";
import { Failure } from "../../parts/failure";
import { ProgressLine } from "../../parts/progress-line";
import { State, toneOfResult } from "../../parts/state";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import { taskName } from "./kinds";
import { LogView } from "./log-view";
import { RepairPanel } from "./repair-panel";
import { repairResult } from "./repair-result";
import { useLog } from "./use-log";

const words = texts.tasks;

/** The task that the address names, over the page; nothing if it names none. */
export function TaskDialog() {
  const { upid, close } = useTaskView();
  if (!upid) return null;
  return (
    <Dialog title={taskName(upid)} size="min(1100px, 95vw)" onClose={close}>
      <Task key={upid} upid={upid} />
    </Dialog>
  );
}

function Task({ upid }: { upid: string }) {
  const log = useLog(upid);
  const status = useRead(
    "/nodes/{node}/tasks/{upid}/status",
    { params: { path: { node: NODE, upid } } },
    // The end of the log may be read before the end of the task.
    { every: LIVE_SECONDS, until: hasStopped },
  );
  const isRunning = status.data?.status === "running";
  const progress = useProgress(isRunning).get(upid);
  const task = status.data;
  const isRepair = parseUpid(upid)?.type === "repair";
  const result = useMemo(() => (isRepair ? repairResult(log.lines) : undefined), [isRepair, log.lines]);
  return (
    <Stack gap="sm">
      <Failure error={status.error} />
      {task && (
        <>
          <Group justify="space-between" align="start">
            <Facts
              rows={[
                [
                  words.status,
                  <State key="state" tone={toneOfResult(isRunning ? undefined : task.exitstatus)}>
                    {isRunning ? words.running : (task.exitstatus ?? texts.common.unknown)}
                  </State>,
                ],
                [words.start, dateTime(task.starttime)],
                [words.duration, span((task.endtime ?? nowSeconds()) - task.starttime)],
                [words.user, task.tokenid ? `${task.user}!${task.tokenid}` : task.user],
                [words.upid, <Copyable key="upid" value={upid} what={words.upid} />],
              ]}
            />
            {isRunning && <StopButton upid={upid} />}
          </Group>
          {isRunning && progress && <Details progress={progress} />}
        </>
      )}
      {result && <RepairPanel result={result} />}
      <LogView upid={upid} log={log} />
    </Stack>
  );
}

function hasStopped(answer: unknown): boolean {
  return (answer as Answer<"get", "/nodes/{node}/tasks/{upid}/status">).data.status === "stopped";
}

function Details({ progress }: { progress: TaskProgress }) {
  const count = (done: number, all: number) => words.of(String(Math.floor(done)), String(all));
  // Only syncs tell more than how much is done of how much.
  const { bytes_received: received = 0, failures = 0, retries = 0, current = [] } = progress;
  const counted = (unit: TaskProgress["unit"], done = 0, all: number | null = null) => {
    if (typeof all === "number") return count(done, all);
    return progress.unit === unit && progress.total !== null && count(progress.done, progress.total);
  };
  return (
    <div>
      <ProgressLine progress={progress} label={words.progress} />
      <Facts
        rows={[
          [words.received, received > 0 && bytes(received)],
          [words.groups, counted("groups", progress.groups_done, progress.groups)],
          [words.snapshots, counted("snapshots", progress.snapshots_done, progress.snapshots)],
          [words.failures, failures > 0 && failures],
          [words.retries, retries > 0 && retries],
          [
            words.current,
            current.length > 0 &&
              current
                .slice(0, 4)
                .map((one) => (one.snapshot === null ? one.group : `${one.group} ${dateTime(one.snapshot)}`))
                .join(", "),
          ],
        ]}
      />
    </div>
  );
}

function StopButton({ upid }: { upid: string }) {
  const [isAsking, setAsking] = useState(false);
  const stop = useAct(() => call("delete", "/nodes/{node}/tasks/{upid}", { params: { path: { node: NODE, upid } } }), {
    refresh: ["/nodes/{node}/tasks", "/nodes/{node}/tasks/{upid}/status"],
    done: words.stopped,
  });
  return (
    <>
      <Button color="red" variant="light" onClick={() => setAsking(true)} loading={stop.isPending}>
        {words.stop}
      </Button>
      {isAsking && (
        <Dialog title={words.stopTitle} size="md" onClose={() => setAsking(false)}>
          <Text size="sm" mb="md">
            {words.stopWords(taskName(upid))}
          </Text>
          <Group justify="flex-end">
            <Button variant="default" onClick={() => setAsking(false)}>
              {texts.common.cancel}
            </Button>
            <Button
              color="red"
              onClick={() => {
                setAsking(false);
                stop.mutate(undefined);
              }}
            >
              {words.stop}
            </Button>
          </Group>
        </Dialog>
      )}
    </>
  );
}
