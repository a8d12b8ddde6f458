// A sync job with all that is known of it: options, last and next run, how its runs went.

import { Button, Group, Stack, Title } from "@mantine/core";
import { dateTime, distance, nowSeconds } from "../../format/time";
import { Dialog } from "../../parts/dialog";
import { Facts } from "../../parts/facts";
import { JobPlots } from "../../parts/job-plots";
import { texts } from "../../texts";
import { RunState } from "./cells";
import { factsOf } from "./job-facts";
import { behindOf, type JobRow } from "./job-row";

const words = texts.sync;

interface DetailsDialogProps {
  row: JobRow;
  /** What can be done with the job. */
  actions: readonly { label: string; onClick: () => void; color?: string; disabled?: boolean }[];
  onClose: () => void;
}

export function DetailsDialog({ row, actions, onClose }: DetailsDialogProps) {
  const now = nowSeconds();
  const behind = behindOf(row);
  const point = (at: number | undefined) => at !== undefined && `${dateTime(at)} (${distance(at, now)})`;
  return (
    <Dialog title={words.details(row.id)} onClose={onClose} size="62rem">
      <Stack gap="md">
        <Group gap="xs">
          {actions.map(({ label, onClick, color, disabled }) => (
            <Button
              key={label}
              size="compact-sm"
              variant="default"
              onClick={onClick}
              disabled={disabled ?? false}
              {...(color ? { c: color } : {})}
            >
              {label}
            </Button>
          ))}
        </Group>
        <Facts
          rows={[
            [texts.common.state, <RunState key="state" row={row} />],
            [texts.common.lastRun, point(row.job["last-run-endtime"])],
            [words.columns.success, point(row.runs?.["last-success"])],
            [words.columns.next, point(row.job["next-run"])],
            [words.columns.behind, behind !== undefined && words.behind(behind)],
            ...factsOf(row),
          ]}
        />
        <section aria-label={words.runs}>
          <Title order={3} size="h5" mb="xs">
            {words.runs}
          </Title>
          <JobPlots type="sync" id={row.id} />
        </section>
      </Stack>
    </Dialog>
  );
}
