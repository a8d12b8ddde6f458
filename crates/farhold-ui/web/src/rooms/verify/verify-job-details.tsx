// What a verify job does, and how its runs went.

import type { Item } from "../../api/client";
import { texts } from "../../texts";
import { JobDetails } from "../upkeep/job-details";
import { verifiesShort } from "./verify-fields";

export function VerifyJobDetails({ job, onClose }: { job: Item<"/admin/verify">; onClose: () => void }) {
  return (
    <JobDetails
      type="verify"
      job={job}
      rows={[
        [texts.verify.what, verifiesShort(job)],
        [texts.verify.readThreads, job["read-threads"]],
        [texts.verify.verifyThreads, job["verify-threads"]],
      ]}
      onClose={onClose}
    />
  );
}
