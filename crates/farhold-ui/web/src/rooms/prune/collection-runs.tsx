// How the garbage collections of a datastore went.

import { Dialog } from "../../parts/dialog";
import { JobPlots } from "../../parts/job-plots";
import { texts } from "../../texts";

export function CollectionRuns({ store, onClose }: { store: string; onClose: () => void }) {
  return (
    <Dialog title={texts.prune.gcDetails(store)} onClose={onClose} size="xl">
      <JobPlots type="gc" id={store} />
    </Dialog>
  );
}
