// All tasks of the server, newest first, filtered by the server.

import { Button, Group, Select, Switch, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useState } from "react";
import { useAnswer } from "../../api/hooks";
import { LIVE_SECONDS, NODE, useDatastores } from "../../api/server";
import type { Item } from "../../api/client";
import { dateTime, nowSeconds, span } from "../../format/time";
import { Loaded } from "../../parts/failure";
import { Page } from "../../parts/page";
import { State, toneOfResult } from "../../parts/state";
import { Table, type Column } from "../../parts/table";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import { kindName } from "./kinds";
import styles from "./tasks.module.css";
import { NO_FILTER, PAGE, queryOf, type TaskFilter } from "./query";

const words = texts.tasks;
type Task = Item<"/nodes/{node}/tasks">;

const COLUMNS: readonly Column<Task>[] = [
  {
    id: "start",
    title: words.start,
    value: (task) => task.starttime,
    cell: (task) => dateTime(task.starttime),
    width: "11rem",
  },
  {
    id: "duration",
    title: words.duration,
    value: (task) => (task.endtime ?? nowSeconds()) - task.starttime,
    cell: (task) => span((task.endtime ?? nowSeconds()) - task.starttime),
    width: "7rem",
    phone: false,
  },
  { id: "kind", title: words.kind, value: (task) => kindName(task.worker_type) },
  { id: "id", title: words.worksOn, value: (task) => task.worker_id ?? "" },
  { id: "user", title: words.user, value: (task) => task.user, phone: false },
  {
    id: "status",
    title: words.status,
    value: (task) => task.status ?? words.running,
    cell: (task) => (
      <State tone={toneOfResult(task.endtime === undefined ? undefined : task.status)}>{short(task)}</State>
    ),
  },
];

/** Results longer than this are cut in the list; the task itself shows them whole. */
const RESULT_LENGTH = 60;

function short(task: Task): string {
  if (task.endtime === undefined) return words.running;
  const text = task.status ?? texts.common.unknown;
  return text.length > RESULT_LENGTH ? `${text.slice(0, RESULT_LENGTH)}…` : text;
}

export default function Tasks() {
  const [filter, setFilter] = useState(NO_FILTER);
  const [limit, setLimit] = useState(PAGE);
  const [settled] = useDebouncedValue(filter, 300);
  const { open } = useTaskView();
  const tasks = useAnswer(
    "/nodes/{node}/tasks",
    { params: { path: { node: NODE }, query: queryOf(settled, limit) } },
    { every: LIVE_SECONDS * 2, keepOld: true },
  );
  return (
    <Page title={words.title}>
      <Filters filter={filter} onChange={setFilter} />
      <Loaded query={tasks}>
        {({ data, total }) => (
          <>
            <Table
              label={words.title}
              rows={data}
              columns={COLUMNS}
              rowKey={(task) => task.upid}
              onOpen={(task) => open(task.upid)}
              filter={false}
            />
            <Group mt="xs" gap="sm">
              <Text size="xs" c="dimmed" role="status">
                {words.shownOf(data.length, total)}
              </Text>
              {data.length < total && data.length >= limit && (
                <Button size="compact-xs" variant="default" onClick={() => setLimit(limit + 5 * PAGE)}>
                  {words.older}
                </Button>
              )}
            </Group>
          </>
        )}
      </Loaded>
    </Page>
  );
}

function Filters({ filter, onChange }: { filter: TaskFilter; onChange: (filter: TaskFilter) => void }) {
  const stores = useDatastores();
  const set = <Name extends keyof TaskFilter>(name: Name, value: TaskFilter[Name]) =>
    onChange({ ...filter, [name]: value });
  const results = Object.entries(words.results).map(([value, label]) => ({ value, label }));
  return (
    <div className={styles.filters}>
      <Select
        size="xs"
        label={words.filterResult}
        data={results}
        value={filter.result}
        allowDeselect={false}
        onChange={(value) => set("result", (value ?? "all") as TaskFilter["result"])}
      />
      <Select
        size="xs"
        label={words.filterKind}
        data={Object.entries(words.kinds).map(([value, label]) => ({ value, label }))}
        value={filter.kind || null}
        clearable
        searchable
        onChange={(value) => set("kind", value ?? "")}
      />
      <Select
        size="xs"
        label={words.filterStore}
        data={(stores.data ?? []).map((entry) => entry.store)}
        value={filter.store || null}
        clearable
        searchable
        onChange={(value) => set("store", value ?? "")}
      />
      <TextInput
        size="xs"
        label={words.filterUser}
        value={filter.user}
        onChange={(event) => set("user", event.currentTarget.value)}
      />
      <TextInput
        size="xs"
        type="date"
        label={words.filterSince}
        value={filter.since}
        onChange={(event) => set("since", event.currentTarget.value)}
      />
      <TextInput
        size="xs"
        type="date"
        label={words.filterUntil}
        value={filter.until}
        onChange={(event) => set("until", event.currentTarget.value)}
      />
      <Switch
        size="sm"
        label={words.onlyRunning}
        checked={filter.isRunning}
        onChange={(event) => set("isRunning", event.currentTarget.checked)}
      />
    </div>
  );
}
