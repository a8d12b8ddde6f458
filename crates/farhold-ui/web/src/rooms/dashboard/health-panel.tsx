// Sync jobs at a glance, the worst first, and what runs now. Below it the other jobs that somebody should look at.

import { Group, Text } from "@mantine/core";
import { useState } from "react";
import { Failure } from "../../parts/failure";
import type { JobKind } from "../../parts/job-runs";
import { Panel } from "../../parts/page";
import { Table } from "../../parts/table";
import { texts } from "../../texts";
import { needsCare, tally, type JobHealth } from "./health";
import { OTHER_COLUMNS, SYNC_COLUMNS } from "./job-columns";
import { JobDialog } from "./job-dialog";
import { Running } from "./running";
import type { Health } from "./use-health";
import { VerdictState } from "./verdict";

const words = texts.dashboard;

const rowKey = (job: JobHealth): string => `${job.kind}/${job.id}`;

export function HealthPanels({ health }: { health: Health }) {
  const [opened, setOpened] = useState<{ kind: JobKind; id: string }>();
  const { jobs } = health;
  const syncs = jobs.filter((job) => job.kind === "sync");
  const others = jobs.filter((job) => job.kind !== "sync");
  const suspects = others.filter(needsCare);
  const shown = opened && jobs.find((job) => job.kind === opened.kind && job.id === opened.id);
  return (
    <>
      <Panel
        title={words.health.title}
        actions={
          <Group gap={6} role="group" aria-label={words.health.summary}>
            {tally(syncs).map(({ verdict, count }) => (
              <VerdictState key={verdict} verdict={verdict} count={count} />
            ))}
          </Group>
        }
      >
        {health.errors[0] && <Failure error={health.errors[0]} retry={health.retry} />}
        <Running />
        {health.isKnown && (
          <Table
            label={words.health.list}
            rows={syncs}
            columns={SYNC_COLUMNS}
            rowKey={rowKey}
            onOpen={setOpened}
            maxHeight="24rem"
            empty={words.health.none}
          />
        )}
      </Panel>
      {others.length > 0 && (
        <Panel title={words.others.title}>
          {suspects.length === 0 ? (
            <Text size="sm">{words.others.fine(others.length)}</Text>
          ) : (
            <Table
              label={words.others.list}
              rows={suspects}
              columns={OTHER_COLUMNS}
              rowKey={rowKey}
              onOpen={setOpened}
              maxHeight="18rem"
            />
          )}
        </Panel>
      )}
      {shown && <JobDialog job={shown} onClose={() => setOpened(undefined)} />}
    </>
  );
}
