// The bar at the bottom: what runs now, and how far it is.

import { Anchor, Group, Loader, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { Link } from "react-router";
import { useProgress } from "../../api/progress";
import { useRunningTasks } from "../../api/server";
import { percent } from "../../format/bytes";
import { shareOf } from "../../format/share";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import styles from "../../shell/shell.module.css";
import { taskName } from "./kinds";

/** So many tasks are named; the others are counted. */
const NAMED = 3;

export function TaskBar() {
  const running = useRunningTasks();
  const { open } = useTaskView();
  const tasks = running.data?.data ?? [];
  const total = running.data?.total ?? 0;
  const progress = useProgress(tasks.length > 0);
  useLookAfterTasks(tasks.map((task) => task.upid).join("\n"));
  const text = running.error?.status === 0 ? texts.shell.offline : undefined;
  return (
    <footer className={styles.bar}>
      <Group gap="md" wrap="nowrap">
        {total > 0 && <Loader size="xs" aria-hidden />}
        <Text size="sm" role="status" className={styles.count ?? ""}>
          {text ?? (total > 0 ? texts.shell.runningTasks(total) : texts.shell.noRunningTasks)}
        </Text>
        <Group gap="md" className={styles.running ?? ""}>
          {tasks.slice(0, NAMED).map((task) => {
            const one = progress.get(task.upid);
            const share = one && shareOf(one);
            return (
              <Anchor key={task.upid} component="button" size="sm" truncate onClick={() => open(task.upid)}>
                {taskName(task.upid)} {share === undefined ? "" : percent(share)}
              </Anchor>
            );
          })}
        </Group>
        <Anchor component={Link} to="/tasks" size="sm" ms="auto" className={styles.count ?? ""}>
          {texts.shell.allTasks}
        </Anchor>
      </Group>
    </footer>
  );
}

/** Calls whose answers tasks change. */
const CHANGED_BY_TASKS = /^\/admin\/|^\/config\/datastore|^\/farhold\/job-runs|^\/status\/|\/tasks$/;

/** When a task began or ended, what screens show of it is out of date. */
function useLookAfterTasks(running: string): void {
  const queries = useQueryClient();
  useEffect(() => {
    void queries.invalidateQueries({
      predicate: ({ queryKey: [path] }) => typeof path === "string" && CHANGED_BY_TASKS.test(path),
    });
  }, [queries, running]);
}
