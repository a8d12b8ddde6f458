// How a job's kept runs went: plots over time, and the same values in a table.

import { Stack, Text, Title } from "@mantine/core";
import { useMemo } from "react";
import { useRead } from "../api/hooks";
import { CALM_SECONDS } from "../api/server";
import { bytes, rate } from "../format/bytes";
import { span } from "../format/time";
import { useTaskView } from "../shell/task-link";
import { texts } from "../texts";
import { Loaded } from "./failure";
import { coursesOf, durationOf, type Course, type JobKind, type Measure, type Run } from "./job-runs";
import { Columns } from "./page";
import { Plot } from "./plot";
import type { Steps } from "./plot-axis";
import { State, toneOfResult } from "./state";
import { Table, type Column } from "./table";
import { When } from "./when";

const FORMAT: Record<Measure, (value: number) => string> = {
  throughput: rate,
  behind: String,
  freed: bytes,
  duration: span,
};

const STEPS: Record<Measure, Steps> = { throughput: "binary", behind: "whole", freed: "binary", duration: "seconds" };

const PLOT_PIXELS = 160;

/** Plots and table of a job's runs. `id` is the job's name; for a garbage collection that of the datastore. */
export function JobPlots({ type, id }: { type: JobKind; id: string }) {
  const runs = useRead("/farhold/job-runs/{type}/{id}", { params: { path: { type, id } } }, { every: CALM_SECONDS });
  return <Loaded query={runs}>{(kept) => <Runs type={type} id={id} runs={kept} />}</Loaded>;
}

function Runs({ type, id, runs }: { type: JobKind; id: string; runs: readonly Run[] }) {
  const courses = useMemo(() => coursesOf(type, runs), [type, runs]);
  const newestFirst = useMemo(() => [...runs].reverse(), [runs]);
  const columns = useMemo(() => columnsOf(type), [type]);
  const { open } = useTaskView();
  if (runs.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        {texts.runs.none}
      </Text>
    );
  }
  return (
    <Stack gap="sm">
      <Text size="sm">{texts.runs.kept(runs.length, runs.filter((run) => !run.success).length)}</Text>
      <Columns>
        {courses.map((course) => (
          <CoursePlot key={course.measure} course={course} />
        ))}
      </Columns>
      <Table
        label={texts.runs.of(id)}
        rows={newestFirst}
        columns={columns}
        rowKey={(run) => run.upid}
        onOpen={(run) => open(run.upid)}
        maxHeight="40dvh"
      />
    </Stack>
  );
}

function CoursePlot({ course }: { course: Course }) {
  const title = texts.runs[course.measure];
  const lines = useMemo(() => [{ label: title, values: course.values, isFilled: true }], [title, course.values]);
  return (
    <div>
      <Title order={3} size="sm">
        {title}
      </Title>
      <Plot
        label={texts.runs.overTime(title)}
        times={course.times}
        lines={lines}
        format={FORMAT[course.measure]}
        steps={STEPS[course.measure]}
        height={PLOT_PIXELS}
      />
    </div>
  );
}

function columnsOf(type: JobKind): readonly Column<Run>[] {
  const isSync = type === "sync";
  const columns: (Column<Run> | false)[] = [
    {
      id: "ended",
      title: texts.runs.ended,
      value: (run) => run.endtime,
      cell: (run) => <When at={run.endtime} isExact />,
    },
    {
      id: "result",
      title: texts.runs.result,
      value: (run) => run.status,
      cell: (run) => <State tone={toneOfResult(run.status)}>{run.status}</State>,
    },
    {
      id: "duration",
      title: texts.runs.duration,
      value: durationOf,
      cell: (run) => span(durationOf(run)),
      align: "right",
    },
    isSync && {
      id: "throughput",
      title: texts.runs.throughput,
      value: (run) => run.rate,
      cell: (run) => rate(run.rate),
      align: "right",
      phone: false,
    },
    (isSync || type === "gc") && {
      id: "bytes",
      title: isSync ? texts.runs.moved : texts.runs.freed,
      value: (run) => run.bytes,
      cell: (run) => bytes(run.bytes),
      align: "right",
      phone: false,
    },
    isSync && {
      id: "snapshots",
      title: texts.runs.snapshots,
      value: (run) => run.snapshots,
      align: "right",
      phone: false,
    },
    isSync && { id: "behind", title: texts.runs.behindShort, value: (run) => run.behind, align: "right", phone: false },
    type !== "prune" && {
      id: "failures",
      title: texts.runs.failures,
      value: (run) => run.failures,
      align: "right",
      phone: false,
    },
    isSync && { id: "retries", title: texts.runs.retries, value: (run) => run.retries, align: "right", phone: false },
  ];
  return columns.filter((column) => column !== false);
}
