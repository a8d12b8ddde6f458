// What an administrator wants to see first: whether all jobs do well, whether there is room, and what failed.

import { Page } from "../../parts/page";
import { texts } from "../../texts";
import { FailuresPanel } from "./failures-panel";
import { FingerprintButton } from "./fingerprint";
import { HealthPanels } from "./health-panel";
import { ServerPanel } from "./server-panel";
import { StoresPanel } from "./stores-panel";
import { useHealth } from "./use-health";

export default function Dashboard() {
  const health = useHealth();
  return (
    <Page title={texts.shell.dashboard} actions={<FingerprintButton />}>
      <HealthPanels health={health} />
      <StoresPanel />
      <FailuresPanel />
      <ServerPanel />
    </Page>
  );
}
