// Pruning and garbage collection of one datastore.

import { Panel } from "../../parts/page";
import { texts } from "../../texts";
import { CollectionPanel } from "./collection-panel";
import { PruneJobs } from "./prune-jobs";

export default function Prune({ store }: { store: string }) {
  return (
    <>
      <CollectionPanel store={store} />
      <Panel title={texts.prune.jobs}>
        <PruneJobs store={store} />
      </Panel>
    </>
  );
}
