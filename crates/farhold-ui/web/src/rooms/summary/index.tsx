// A datastore at a glance.

import { useRead } from "../../api/hooks";
import { CALM_SECONDS } from "../../api/server";
import { Columns } from "../../parts/page";
import { CollectionPanel } from "./collection-panel";
import { ContentPanel } from "./content-panel";
import { HistoryPanel } from "./history-panel";
import { UsagePanel } from "./usage-panel";
import { VerificationPanel } from "./verification-panel";

export default function Summary({ store }: { store: string }) {
  const status = useRead(
    "/admin/datastore/{store}/status",
    { params: { path: { store }, query: { verbose: true } } },
    { every: CALM_SECONDS },
  );
  return (
    <>
      <Columns>
        <UsagePanel store={store} status={status} />
        <div>
          <ContentPanel store={store} status={status} />
          <VerificationPanel store={store} />
        </div>
      </Columns>
      <CollectionPanel store={store} />
      <HistoryPanel store={store} />
    </>
  );
}
