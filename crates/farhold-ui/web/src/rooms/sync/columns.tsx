// The columns of the list of sync jobs.

import { Anchor, Stack, Text } from "@mantine/core";
import { Link } from "react-router";
import type { Column } from "../../parts/table";
import { texts } from "../../texts";
import { RunState, When } from "./cells";
import { behindOf, HEALTH_RANK, placeOf, type JobRow } from "./job-row";

const words = texts.sync;

/** Returns the columns. `withStore`: whether jobs of several datastores are listed. */
export function columnsOf(withStore: boolean, now: number): Column<JobRow>[] {
  return [
    {
      id: "id",
      title: words.columns.id,
      value: ({ id, job }) => `${id} ${job.comment ?? ""}`,
      cell: ({ id, job }) => (
        <Stack gap={0} miw="8rem">
          <Text size="sm" fw={600} component="span">
            {id}
          </Text>
          {job.comment && (
            <Text size="xs" c="dimmed" lineClamp={2} component="span">
              {job.comment}
            </Text>
          )}
        </Stack>
      ),
    },
    {
      id: "store",
      title: withStore ? words.columns.store : texts.common.namespace,
      phone: false,
      value: ({ job }) => (withStore ? placeOf(job.store, job.ns) : (job.ns ?? texts.common.rootNamespace)),
      ...(withStore
        ? {
            cell: ({ job }: JobRow) => (
              <Anchor component={Link} size="sm" to={`/datastore/${job.store}/sync`}>
                {placeOf(job.store, job.ns)}
              </Anchor>
            ),
          }
        : {}),
    },
    {
      id: "other",
      title: words.columns.other,
      value: ({ kind, other }) => `${words.kind[kind]} ${kind === "push" ? words.to(other) : words.from(other)}`,
      width: "20%",
      phone: false,
    },
    {
      id: "schedule",
      title: words.columns.schedule,
      value: ({ job }) => job.schedule ?? words.onlyByHand,
      phone: false,
    },
    {
      id: "state",
      title: words.columns.state,
      value: ({ health }) => HEALTH_RANK[health],
      cell: (row) => <RunState row={row} />,
    },
    {
      id: "success",
      title: words.columns.success,
      value: ({ runs }) => runs?.["last-success"],
      cell: ({ runs }) => <When at={runs?.["last-success"]} now={now} />,
      phone: false,
    },
    {
      id: "behind",
      title: words.columns.behind,
      value: behindOf,
      align: "right",
      cell: (row) => {
        const behind = behindOf(row);
        return behind === undefined ? "–" : <span title={words.behind(behind)}>{behind}</span>;
      },
      phone: false,
    },
    {
      id: "next",
      title: words.columns.next,
      value: ({ job }) => job["next-run"],
      cell: ({ job }) => <When at={job["next-run"]} now={now} />,
      phone: false,
    },
  ];
}
