// Values that the server keeps over time: plots beside each other, or one table, for a time that can be chosen.

import { Button, Group, Select, Text, Title } from "@mantine/core";
import { useMemo, useState } from "react";
import { texts } from "../texts";
import { knownRows, seriesOf, type HistoryLine } from "./history-series";
import { Columns } from "./page";
import { Plot } from "./plot";
import type { Steps } from "./plot-axis";
import { Table, type Column } from "./table";
import { When } from "./when";

const words = texts.history;

export type Timeframe = keyof typeof words.timeframes;
export type Consolidation = keyof typeof words.kinds;

export interface Chart<Row> {
  id: string;
  title: string;
  lines: readonly HistoryLine<Row>[];
  format: (value: number) => string;
  steps?: Steps;
  /** Upper end of the axis, if it is known. */
  max?: number;
}

/** What is asked of the server. */
export interface Window {
  timeframe: Timeframe;
  cf: Consolidation;
}

export const FIRST_WINDOW: Window = { timeframe: "day", cf: "AVERAGE" };

const options = (labels: Readonly<Record<string, string>>) =>
  Object.entries(labels).map(([value, label]) => ({ value, label }));

/** Fields to choose what is shown. */
export function WindowFields({ value, onChange }: { value: Window; onChange: (value: Window) => void }) {
  return (
    <Group gap="xs">
      <Select
        size="xs"
        w="7rem"
        aria-label={words.timeframe}
        data={options(words.timeframes)}
        value={value.timeframe}
        allowDeselect={false}
        onChange={(timeframe) => onChange({ ...value, timeframe: (timeframe ?? "day") as Timeframe })}
      />
      <Select
        size="xs"
        w="8rem"
        aria-label={words.kind}
        data={options(words.kinds)}
        value={value.cf}
        allowDeselect={false}
        onChange={(cf) => onChange({ ...value, cf: (cf ?? "AVERAGE") as Consolidation })}
      />
    </Group>
  );
}

interface HistoryProps<Row> {
  rows: readonly Row[];
  charts: readonly Chart<Row>[];
}

/** Plots of all charts that have a value, or the table of them. */
export function History<Row extends { time: number }>({ rows, charts }: HistoryProps<Row>) {
  const [isTable, setTable] = useState(false);
  const lines = useMemo(() => charts.flatMap((chart) => chart.lines), [charts]);
  const known = useMemo(() => knownRows(rows, lines), [rows, lines]);
  if (known.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        {words.none}
      </Text>
    );
  }
  return (
    <>
      {isTable ? (
        <ValueTable rows={known} charts={charts} />
      ) : (
        <Columns>
          {charts.map((chart) => (
            <ChartPlot key={chart.id} rows={rows} chart={chart} />
          ))}
        </Columns>
      )}
      <Button mt="xs" size="compact-sm" variant="default" onClick={() => setTable(!isTable)}>
        {isTable ? words.asPlots : words.asTable}
      </Button>
    </>
  );
}

function ChartPlot<Row extends { time: number }>({ rows, chart }: { rows: readonly Row[]; chart: Chart<Row> }) {
  const times = useMemo(() => rows.map((row) => row.time), [rows]);
  const lines = useMemo(
    () => seriesOf(rows, chart.lines).map((line, index) => ({ ...line, isFilled: index === 0 })),
    [rows, chart],
  );
  if (lines.length === 0) return null;
  return (
    <div>
      <Title order={3} size="sm">
        {chart.title}
      </Title>
      <Plot
        label={words.overTime(chart.title)}
        times={times}
        lines={lines}
        format={chart.format}
        height={180}
        {...(chart.steps ? { steps: chart.steps } : {})}
        {...(chart.max === undefined ? {} : { max: chart.max })}
      />
    </div>
  );
}

function ValueTable<Row extends { time: number }>({ rows, charts }: HistoryProps<Row>) {
  const columns = useMemo(() => columnsOf(rows, charts), [rows, charts]);
  return (
    <Table
      label={words.values}
      rows={rows}
      columns={columns}
      rowKey={(row) => String(row.time)}
      sorting={{ column: "time", direction: "down" }}
      filter={false}
      maxHeight="24rem"
    />
  );
}

function columnsOf<Row extends { time: number }>(
  rows: readonly Row[],
  charts: readonly Chart<Row>[],
): readonly Column<Row>[] {
  const values = charts.flatMap((chart) =>
    chart.lines
      .filter((line) => knownRows(rows, [line]).length > 0)
      .map((line): Column<Row> => ({
        id: `${chart.id} ${line.label}`,
        title: chart.lines.length === 1 ? chart.title : `${chart.title}: ${line.label}`,
        value: line.value,
        cell: (row) => {
          const value = line.value(row);
          return value === undefined ? "–" : chart.format(value);
        },
        align: "right",
      })),
  );
  const time: Column<Row> = {
    id: "time",
    title: words.time,
    value: (row) => row.time,
    cell: (row) => <When at={row.time} isExact />,
  };
  return [time, ...values.map((column, index) => (index < 1 ? column : { ...column, phone: false }))];
}
