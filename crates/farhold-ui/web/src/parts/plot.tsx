// Lines over time. The drawing code is loaded only where something is drawn.

import { Text } from "@mantine/core";
import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef } from "react";
import type uPlot from "uplot";
import { dateTime } from "../format/time";
import { texts } from "../texts";
import { STEPS, timeLabels, type Steps } from "./plot-axis";

export interface Line {
  label: string;
  /** One value per time; `null` where there is none. */
  values: readonly (number | null)[];
  color?: string;
  /** Whether the space below it is filled. */
  isFilled?: boolean;
}

interface PlotProps {
  /** What is drawn, for screen readers; the table of the same values should be near. */
  label: string;
  /** Seconds since 1970-01-01 UTC, ascending. */
  times: readonly number[];
  lines: readonly Line[];
  /** How values are written at the axis. */
  format: (value: number) => string;
  height?: number;
  /** Upper end of the axis, if it is known. */
  max?: number;
  /** Whether single points are joined by steps. */
  isStepped?: boolean;
  /** At which values the grid stands. */
  steps?: Steps;
}

const COLORS = ["#1098ad", "#e8590c", "#5c7cfa", "#2f9e44"];

/** A plot as wide as there is room. */
export function Plot({ label, times, lines, format, height = 200, max, isStepped, steps = "decimal" }: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const scheme = useComputedColorScheme();
  useEffect(() => {
    const element = place.current;
    if (!element || times.length === 0) return;
    let plot: uPlot | undefined;
    let isGone = false;
    const observer = new ResizeObserver(() => plot?.setSize({ width: element.clientWidth, height }));
    void Promise.all([import("uplot"), import("uplot/dist/uPlot.min.css")]).then(([{ default: Drawing }]) => {
      if (isGone) return;
      const ink = getComputedStyle(element).color;
      const grid = { stroke: scheme === "dark" ? "#4a4f55" : "#dfe3e8", width: 1 };
      const incrs = STEPS[steps];
      const paths = isStepped ? Drawing.paths.stepped?.({ align: 1 }) : undefined;
      plot = new Drawing(
        {
          width: element.clientWidth,
          height,
          cursor: { drag: { x: false, y: false } },
          legend: { show: lines.length > 1 },
          scales: { y: { range: (_, low, high) => [Math.min(0, low), max ?? (high > 0 ? high * 1.05 : 1)] } },
          axes: [
            { stroke: ink, grid, space: 70, values: (_, ticks, __, ___, step) => timeLabels(ticks, step) },
            {
              stroke: ink,
              grid,
              size: 80,
              values: (_, ticks) => ticks.map(format),
              ...(incrs ? { incrs: [...incrs] } : {}),
            },
          ],
          series: [
            {
              label: texts.history.time,
              value: (_: uPlot, time: number | null) => (time === null ? "–" : dateTime(time)),
            },
            ...lines.map((line, index) => {
              const color = line.color ?? COLORS[index % COLORS.length] ?? "#1098ad";
              return {
                label: line.label,
                stroke: color,
                width: 2,
                points: { show: times.length < 60, size: 5 },
                value: (_: uPlot, value: number | null) => (value === null ? "–" : format(value)),
                ...(line.isFilled ? { fill: `${color}22` } : {}),
                ...(paths ? { paths } : {}),
              };
            }),
          ],
        },
        [[...times], ...lines.map((line) => [...line.values])] as uPlot.AlignedData,
        element,
      );
      observer.observe(element);
    });
    return () => {
      isGone = true;
      observer.disconnect();
      plot?.destroy();
    };
  }, [times, lines, format, height, max, isStepped, steps, scheme]);
  if (times.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        {texts.common.nothing}
      </Text>
    );
  }
  return <div ref={place} role="img" aria-label={label} style={{ minHeight: height }} />;
}
