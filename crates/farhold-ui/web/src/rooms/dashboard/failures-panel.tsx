// Tasks that failed lately.

import { SegmentedControl, Text } from "@mantine/core";
import { useState } from "react";
import type { Item } from "../../api/client";
import { useAnswer } from "../../api/hooks";
import { CALM_SECONDS, NODE } from "../../api/server";
import { Loaded } from "../../parts/failure";
import { Panel } from "../../parts/page";
import { Table, type Column } from "../../parts/table";
import { useNow, When } from "../../parts/when";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import { taskName } from "../tasks/kinds";

const words = texts.dashboard.failures;

const HOUR_SECONDS = 3600;
/** The point from which on is asked moves in steps, so that an answer serves for a while. */
const STEP_SECONDS = 600;
/** The latest so many tasks are shown. */
const LIMIT = 200;

const SPANS = { day: 24 * HOUR_SECONDS, week: 7 * 24 * HOUR_SECONDS };

type Task = Item<"/nodes/{node}/tasks">;

const COLUMNS: readonly Column<Task>[] = [
  {
    id: "started",
    title: words.started,
    value: (task) => task.starttime,
    cell: (task) => <When at={task.starttime} />,
    width: "9rem",
  },
  { id: "task", title: words.task, value: (task) => taskName(task.upid) },
  { id: "error", title: words.error, value: (task) => task.status },
  { id: "user", title: words.user, value: (task) => task.user, phone: false },
];

export function FailuresPanel() {
  const [span, setSpan] = useState<keyof typeof SPANS>("day");
  const { open } = useTaskView();
  const since = Math.floor((useNow() - SPANS[span]) / STEP_SECONDS) * STEP_SECONDS;
  const tasks = useAnswer(
    "/nodes/{node}/tasks",
    { params: { path: { node: NODE }, query: { statusfilter: ["error", "unknown"], since, limit: LIMIT } } },
    { every: CALM_SECONDS, keepOld: true },
  );
  return (
    <Panel
      title={words.title}
      actions={
        <SegmentedControl
          size="xs"
          aria-label={words.span}
          value={span}
          onChange={(value) => setSpan(value as keyof typeof SPANS)}
          data={[
            { value: "day", label: words.day },
            { value: "week", label: words.week },
          ]}
        />
      }
    >
      <Loaded query={tasks}>
        {({ data }) => (
          <>
            <Table
              label={words.list}
              rows={data}
              columns={COLUMNS}
              rowKey={(task) => task.upid}
              onOpen={(task) => open(task.upid)}
              empty={words.none}
              maxHeight="20rem"
            />
            {data.length >= LIMIT && (
              <Text size="xs" c="dimmed" mt="xs">
                {words.more(LIMIT)}
              </Text>
            )}
          </>
        )}
      </Loaded>
    </Panel>
  );
}
