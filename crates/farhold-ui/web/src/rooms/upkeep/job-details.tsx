// What a prune or verify job does, and how its runs went.

import { Title } from "@mantine/core";
import type { ReactNode } from "react";
import { Dialog } from "../../parts/dialog";
import { Facts } from "../../parts/facts";
import { JobPlots } from "../../parts/job-plots";
import { texts } from "../../texts";
import { useStaleAfter } from "./job-options";
import { LastRun, NextRun, type RunState } from "./runs";

interface Job extends RunState {
  id: string;
  store: string;
  ns?: string;
  "max-depth"?: number;
  comment?: string;
}

interface JobDetailsProps {
  type: "prune" | "verify";
  job: Job;
  /** What only this kind of job has. */
  rows: readonly (readonly [string, ReactNode])[];
  onClose: () => void;
}

export function JobDetails({ type, job, rows, onClose }: JobDetailsProps) {
  const staleAfter = useStaleAfter(type, job.id);
  return (
    <Dialog title={texts.upkeep.details(job.id)} onClose={onClose} size="xl">
      <Facts
        rows={[
          [texts.common.datastore, job.store],
          [texts.common.namespace, job.ns ?? texts.common.rootNamespace],
          [texts.upkeep.depth, job["max-depth"] ?? texts.upkeep.depthFull],
          [texts.common.schedule, job.schedule ?? texts.upkeep.byHand],
          ...rows,
          [texts.common.lastRun, <LastRun job={job} name={job.id} />],
          [texts.common.nextRun, <NextRun job={job} />],
          [texts.upkeep.staleAfter, staleAfter],
          [texts.common.comment, job.comment],
        ]}
      />
      <Title order={3} size="h5" mt="md" mb="xs">
        {texts.upkeep.runs}
      </Title>
      <JobPlots type={type} id={job.id} />
    </Dialog>
  );
}
