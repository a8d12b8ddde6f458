// The garbage collection of one datastore: what the last one found, when the next one is, and starting one.

import { Button, Group } from "@mantine/core";
import { useState } from "react";
import { useRead } from "../../api/hooks";
import { usePrivileges } from "../../api/server";
import { Loaded } from "../../parts/failure";
import { Panel } from "../../parts/page";
import { texts } from "../../texts";
import { useLive } from "../upkeep/live";
import { CollectionFacts, useCollect, useCollections } from "./collection";
import { CollectionDialog } from "./collection-dialog";
import { CollectionRuns } from "./collection-runs";

export function CollectionPanel({ store }: { store: string }) {
  const collecting = useCollections();
  const last = useLive(
    (every) => useRead("/admin/datastore/{store}/gc", { params: { path: { store } } }, { every }),
    () => collecting.has(store),
  );
  const mayStart = usePrivileges()(`/datastore/${store}`, "Datastore.Modify");
  const start = useCollect();
  const [open, setOpen] = useState<"schedule" | "runs">();
  const running = collecting.get(store);
  return (
    <Panel title={texts.prune.gc}>
      <Loaded query={last}>{(gc) => <CollectionFacts gc={gc} {...(running ? { running } : {})} />}</Loaded>
      <Group gap="xs" mt="sm">
        <Button
          onClick={() => start.mutate(store)}
          loading={start.isPending}
          disabled={!mayStart || running !== undefined}
        >
          {texts.prune.start}
        </Button>
        <Button variant="default" onClick={() => setOpen("schedule")} disabled={!mayStart}>
          {texts.prune.gcSchedule}
        </Button>
        <Button variant="default" onClick={() => setOpen("runs")}>
          {texts.upkeep.runs}
        </Button>
      </Group>
      {open === "schedule" && <CollectionDialog store={store} onClose={() => setOpen(undefined)} />}
      {open === "runs" && <CollectionRuns store={store} onClose={() => setOpen(undefined)} />}
    </Panel>
  );
}
