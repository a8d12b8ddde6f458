// One job: how it does, and how its runs went.

import { Anchor, Button, Group, Stack } from "@mantine/core";
import { Link } from "react-router";
import { Dialog } from "../../parts/dialog";
import { Facts } from "../../parts/facts";
import { JobPlots } from "../../parts/job-plots";
import type { JobKind } from "../../parts/job-runs";
import { When } from "../../parts/when";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import type { JobHealth } from "./health";
import { routeOf } from "./job-columns";
import { JobState } from "./verdict";

const words = texts.dashboard;

/** Tabs of a datastore in which jobs of a kind are looked after. */
const TABS: Record<JobKind, string> = { sync: "sync", prune: "prune", gc: "prune", verify: "verify" };

export function JobDialog({ job, onClose }: { job: JobHealth; onClose: () => void }) {
  const { open } = useTaskView();
  const { lastUpid, runningUpid, limit } = job;
  return (
    <Dialog title={words.job.title(words.others.kinds[job.kind], job.id)} size="xl" onClose={onClose}>
      <Stack gap="md">
        <Facts
          rows={[
            [words.health.health, <JobState key="state" job={job} />],
            [texts.common.datastore, routeOf(job) ?? job.store],
            [words.job.lastError, job.lastState],
            [words.health.lastRun, job.lastEnd !== undefined && <When key="end" at={job.lastEnd} />],
            [words.health.lastSuccess, <When key="success" at={job.lastSuccess} otherwise={texts.common.never} />],
            [words.job.limit, limit?.text],
            [words.job.failuresInRow, job.failuresInRow > 0 && job.failuresInRow],
            [words.job.schedule, job.schedule ?? words.health.byHand],
            [words.health.nextRun, job.nextRun !== undefined && <When key="next" at={job.nextRun} />],
          ]}
        />
        <Group gap="sm">
          {lastUpid && (
            <Button size="compact-sm" variant="default" onClick={() => open(lastUpid)}>
              {words.job.log}
            </Button>
          )}
          {runningUpid && (
            <Button size="compact-sm" variant="default" onClick={() => open(runningUpid)}>
              {words.job.running}
            </Button>
          )}
          <Anchor component={Link} size="sm" to={`/datastore/${job.store}/${TABS[job.kind]}`}>
            {words.job.jobs}
          </Anchor>
        </Group>
        <JobPlots type={job.kind} id={job.id} />
      </Stack>
    </Dialog>
  );
}
