// What a prune job does, and how its runs went.

import type { Item } from "../../api/client";
import { keepMeaning } from "../../parts/fields/keep-fields";
import { texts } from "../../texts";
import { JobDetails } from "../upkeep/job-details";

export function PruneJobDetails({ job, onClose }: { job: Item<"/admin/prune">; onClose: () => void }) {
  return <JobDetails type="prune" job={job} rows={[[texts.prune.retention, keepMeaning(job)]]} onClose={onClose} />;
}
