// What a verify job does, and how its runs went.

import { Title } from "@mantine/core";
import type { Item } from "../../api/client";
import { Dialog } from "../../parts/dialog";
import { Facts } from "../../parts/facts";
import { JobPlots } from "../../parts/job-plots";
import { texts } from "../../texts";
import { useStaleAfter } from "../upkeep/job-options";
import { LastRun, NextRun } from "../upkeep/runs";
import { verifiesShort } from "./verify-fields";

export function VerifyJobDetails({ job, onClose }: { job: Item<"/admin/verify">; onClose: () => void }) {
  const staleAfter = useStaleAfter("verify", job.id);
  return (
    <Dialog title={texts.upkeep.details(job.id)} onClose={onClose} size="xl">
      <Facts
        rows={[
          [texts.common.datastore, job.store],
          [texts.common.namespace, job.ns ?? texts.common.rootNamespace],
          [texts.upkeep.depth, job["max-depth"] ?? texts.upkeep.depthFull],
          [texts.common.schedule, job.schedule ?? texts.upkeep.byHand],
          [texts.verify.what, verifiesShort(job)],
          [texts.verify.readThreads, job["read-threads"]],
          [texts.verify.verifyThreads, job["verify-threads"]],
          [texts.common.lastRun, <LastRun job={job} name={job.id} />],
          [texts.common.nextRun, <NextRun job={job} />],
          [texts.upkeep.staleAfter, staleAfter],
          [texts.common.comment, job.comment],
        ]}
      />
      <Title order={3} size="h5" mt="md" mb="xs">
        {texts.upkeep.runs}
      </Title>
      <JobPlots type="verify" id={job.id} />
    </Dialog>
  );
}
