// The tab of a datastore with its sync jobs.

import { SyncJobs } from "./sync-jobs";

export default function Sync({ store }: { store: string }) {
  return <SyncJobs store={store} />;
}
