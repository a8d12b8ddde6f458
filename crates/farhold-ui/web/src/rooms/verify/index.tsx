// The verify jobs of one datastore.

import { VerifyJobs } from "./verify-jobs";

export default function Verify({ store }: { store: string }) {
  return <VerifyJobs store={store} />;
}
