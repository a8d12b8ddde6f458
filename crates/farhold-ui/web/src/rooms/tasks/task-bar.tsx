// The bar at the bottom: what runs now.

import { Anchor, Group, Loader, Text } from "@mantine/core";
import { Link } from "react-router";
import { useRunningTasks } from "../../api/server";
import { parseUpid } from "../../format/upid";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import styles from "../../shell/shell.module.css";

export function TaskBar() {
  const running = useRunningTasks();
  const { open } = useTaskView();
  const tasks = running.data?.data ?? [];
  return (
    <footer className={styles.bar}>
      <Group gap="md">
        {tasks.length > 0 && <Loader size="xs" aria-hidden />}
        <Text size="sm" role="status">
          {tasks.length > 0 ? texts.shell.runningTasks(tasks.length) : texts.shell.noRunningTasks}
        </Text>
        {tasks.slice(0, 3).map((task) => (
          <Anchor key={task.upid} component="button" size="sm" onClick={() => open(task.upid)}>
            {task.worker_type} {parseUpid(task.upid)?.id}
          </Anchor>
        ))}
        <Anchor component={Link} to="/tasks" size="sm" ms="auto">
          {texts.shell.allTasks}
        </Anchor>
      </Group>
    </footer>
  );
}
