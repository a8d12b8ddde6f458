// Unmounting a removable datastore: what works on it now, and what will happen.

import { Anchor, Button, Group, List, Stack, Text } from "@mantine/core";
import { call } from "../../api/client";
import { useAct, useRead } from "../../api/hooks";
import { LIVE_SECONDS, useRunningTasks } from "../../api/server";
import { parseUpid } from "../../format/upid";
import { Dialog } from "../../parts/dialog";
import { Failure, Loaded } from "../../parts/failure";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import { AFTER_CHANGE } from "../options/config";

interface UnmountProps {
  store: string;
  collectsGarbage: boolean;
  onClose: () => void;
}

export function Unmount({ store, collectsGarbage, onClose }: UnmountProps) {
  const { open } = useTaskView();
  const busy = useRead(
    "/admin/datastore/{store}/active-operations",
    { params: { path: { store } } },
    { every: LIVE_SECONDS },
  );
  const running = useRunningTasks();
  const tasks = (running.data?.data ?? []).filter((task) => isOn(task.upid, store));
  const unmount = useAct<void, string>(
    async () => (await call("post", "/admin/datastore/{store}/unmount", { params: { path: { store } } })).data,
    {
      quiet: true,
      refresh: AFTER_CHANGE,
      onDone: (upid) => {
        onClose();
        open(upid);
      },
    },
  );
  return (
    <Dialog title={texts.datastores.unmountTitle(store)} onClose={onClose} size="md">
      <Stack gap="sm">
        <Text size="sm">{texts.datastores.unmountHint}</Text>
        {collectsGarbage && <Text size="sm">{texts.datastores.unmountGc}</Text>}
        <Loaded query={busy}>
          {({ read, write }) => (
            <Text size="sm" fw={600} role="status">
              {texts.datastores.inUse(read, write)}
            </Text>
          )}
        </Loaded>
        {tasks.length > 0 && (
          <div>
            <Text size="sm">{texts.datastores.inUseTasks}</Text>
            <List size="sm">
              {tasks.map((task) => (
                <List.Item key={task.upid}>
                  <Anchor component="button" type="button" size="sm" onClick={() => open(task.upid)}>
                    {task.worker_type} {parseUpid(task.upid)?.id}
                  </Anchor>
                </List.Item>
              ))}
            </List>
          </div>
        )}
        <Failure error={unmount.error} />
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            {texts.common.cancel}
          </Button>
          <Button onClick={() => unmount.mutate()} loading={unmount.isPending}>
            {texts.datastores.unmount}
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

/** Whether a task works on the datastore: most are named by it, with more behind a colon. */
function isOn(upid: string, store: string): boolean {
  return (parseUpid(upid)?.id ?? "").split(":").includes(store);
}
