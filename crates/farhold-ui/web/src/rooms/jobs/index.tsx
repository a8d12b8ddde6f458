// The jobs of all datastores, by kind.

import { useParams } from "react-router";
import { Page } from "../../parts/page";
import { Tabs } from "../../parts/tabs";
import { texts } from "../../texts";
import { Collections } from "../prune/collections";
import { PruneJobs } from "../prune/prune-jobs";
import { SyncJobs } from "../sync/sync-jobs";
import { VerifyJobs } from "../verify/verify-jobs";

type Tab = keyof typeof texts.jobs.tabs;

const TABS: Record<Tab, () => React.JSX.Element> = {
  sync: () => <SyncJobs />,
  prune: () => <PruneJobs />,
  verify: () => <VerifyJobs />,
  gc: () => <Collections />,
};

export default function Jobs() {
  const { tab } = useParams();
  const current: Tab = tab !== undefined && tab in TABS ? (tab as Tab) : "sync";
  return (
    <Page title={texts.jobs.title}>
      <Tabs
        label={texts.jobs.title}
        base="/jobs"
        current={current}
        tabs={(Object.keys(TABS) as Tab[]).map((id) => ({ id, label: texts.jobs.tabs[id] }))}
      >
        {TABS[current]()}
      </Tabs>
    </Page>
  );
}
