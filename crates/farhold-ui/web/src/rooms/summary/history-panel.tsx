// How a datastore's usage and its disk went over time.

import { useState } from "react";
import { useRead } from "../../api/hooks";
import { CALM_SECONDS } from "../../api/server";
import { Loaded } from "../../parts/failure";
import { FIRST_WINDOW, History, WindowFields } from "../../parts/history";
import { Panel } from "../../parts/page";
import { texts } from "../../texts";
import { STORE_CHARTS } from "./charts";

export function HistoryPanel({ store }: { store: string }) {
  const [window, setWindow] = useState(FIRST_WINDOW);
  const samples = useRead(
    "/admin/datastore/{store}/rrd",
    { params: { path: { store }, query: window } },
    { every: 2 * CALM_SECONDS, keepOld: true },
  );
  return (
    <Panel title={texts.summary.history} actions={<WindowFields value={window} onChange={setWindow} />}>
      <Loaded query={samples}>{(rows) => <History rows={rows} charts={STORE_CHARTS} />}</Loaded>
    </Panel>
  );
}
