// The tasks that run now and tell how far they are.

import { Anchor, Stack, Text } from "@mantine/core";
import { useProgress } from "../../api/progress";
import { useRunningTasks } from "../../api/server";
import { ProgressLine } from "../../parts/progress-line";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import { kindName, taskName } from "../tasks/kinds";

/** So many are drawn; the others are counted. */
const DRAWN = 8;

export function Running() {
  const tasks = useRunningTasks().data?.data ?? [];
  const progress = useProgress(tasks.length > 0);
  const { open } = useTaskView();
  const told = tasks.flatMap((task) => progress.get(task.upid) ?? []);
  if (told.length === 0) return null;
  return (
    <Stack gap="xs" mb="sm" role="group" aria-label={texts.dashboard.health.runningNow}>
      {told.slice(0, DRAWN).map((one) => {
        const name = one.id ? `${kindName(one.type)} ${one.id}` : taskName(one.upid);
        return (
          <div key={one.upid}>
            <Anchor
              component="button"
              size="sm"
              style={{ overflowWrap: "anywhere", textAlign: "start" }}
              onClick={() => open(one.upid)}
            >
              {name}
            </Anchor>
            <ProgressLine progress={one} label={texts.dashboard.health.progressOf(name)} />
          </div>
        );
      })}
      {told.length > DRAWN && (
        <Text size="sm" c="dimmed">
          {texts.dashboard.health.more(told.length - DRAWN)}
        </Text>
      )}
    </Stack>
  );
}
