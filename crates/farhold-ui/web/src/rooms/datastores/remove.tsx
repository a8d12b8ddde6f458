// Removing a datastore: its configuration only, or its backups as well, said plainly.

import { Radio, Stack, Switch } from "@mantine/core";
import { useState } from "react";
import { useNavigate } from "react-router";
import { call } from "../../api/client";
import { useAnswer, useRead } from "../../api/hooks";
import { bytes } from "../../format/bytes";
import { RemovalDialog } from "../../parts/dialog";
import { OnceInDialog } from "../../parts/once";
import { texts } from "../../texts";
import { AFTER_CHANGE, type ConfigAnswer } from "../options/config";

type Fate = "keep" | "destroy";

interface RemoveProps {
  store: string;
  onClose: () => void;
}

export function RemoveDatastore({ store, onClose }: RemoveProps) {
  const config = useAnswer("/config/datastore/{name}", { params: { path: { name: store } } });
  return (
    <OnceInDialog query={config} title={texts.datastores.removeTitle(store)} onClose={onClose}>
      {(answer) => <Removal answer={answer} onClose={onClose} />}
    </OnceInDialog>
  );
}

function Removal({ answer, onClose }: { answer: ConfigAnswer; onClose: () => void }) {
  const store = answer.data.name;
  const [fate, setFate] = useState<Fate>("keep");
  const [keepsJobs, setKeepsJobs] = useState(false);
  const navigate = useNavigate();
  const losses = useLosses(store);
  const jobs = useJobsOf(store);
  return (
    <RemovalDialog
      title={texts.datastores.removeTitle(store)}
      name={store}
      submit={texts.datastores.remove}
      remove={async () => {
        const query = {
          "destroy-data": fate === "destroy",
          "keep-job-configs": keepsJobs,
          ...(answer.digest ? { digest: answer.digest } : {}),
        };
        return (await call("delete", "/config/datastore/{name}", { params: { path: { name: store }, query } })).data;
      }}
      refresh={[...AFTER_CHANGE, "/admin/gc", "/admin/prune", "/admin/verify", "/admin/sync"]}
      // The datastore's own screens are no longer there; the task that removes it is shown over the list.
      onDone={(upid) => void navigate(`/datastores?task=${encodeURIComponent(upid)}`)}
      onClose={onClose}
      size="lg"
      details={
        <Stack gap="sm">
          <Radio.Group label={texts.datastores.data} value={fate} onChange={(value) => setFate(value as Fate)}>
            <Stack gap="xs" mt="xs">
              <Radio value="keep" label={texts.datastores.keepData} />
              <Radio value="destroy" label={texts.datastores.destroyData} color="red" />
            </Stack>
          </Radio.Group>
          <Switch
            label={texts.datastores.keepJobs}
            checked={keepsJobs}
            onChange={(event) => setKeepsJobs(event.currentTarget.checked)}
          />
        </Stack>
      }
    >
      <div>{texts.datastores.removesConfig(store)}</div>
      <div>{fate === "keep" ? texts.datastores.keepsData : <strong>{losses}</strong>}</div>
      <div>{keepsJobs ? texts.datastores.keepsJobs : texts.datastores.removesJobs(jobs)}</div>
    </RemovalDialog>
  );
}

/** What would be lost with the data, in numbers if the datastore can be looked into. */
function useLosses(store: string): string {
  const status = useRead("/admin/datastore/{store}/status", {
    params: { path: { store }, query: { verbose: true } },
  });
  const counts = status.data?.counts;
  if (!counts) return texts.datastores.removesAllData;
  const kinds = [counts.vm, counts.ct, counts.host, counts.other];
  const groups = kinds.reduce((sum, kind) => sum + (kind?.groups ?? 0), 0);
  const snapshots = kinds.reduce((sum, kind) => sum + (kind?.snapshots ?? 0), 0);
  // Only a garbage collection finds out how much there is.
  const collected = status.data?.["gc-status"];
  const size = collected?.upid ? bytes(collected["disk-bytes"]) : undefined;
  return texts.datastores.removesData(groups, snapshots, size);
}

/** The jobs that go with the datastore. */
function useJobsOf(store: string): string[] {
  const init = { params: { query: { store } } };
  const sync = useRead("/admin/sync", init).data ?? [];
  const prune = useRead("/admin/prune", init).data ?? [];
  const verify = useRead("/admin/verify", init).data ?? [];
  const { job, jobName } = texts.datastores;
  return [
    ...sync.map(({ id }) => job(jobName.sync, id)),
    ...prune.map(({ id }) => job(jobName.prune, id)),
    ...verify.map(({ id }) => job(jobName.verify, id)),
  ];
}
