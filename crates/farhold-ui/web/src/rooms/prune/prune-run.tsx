// Pruning by hand: a job before its time, or a datastore by settings of the moment. Both show first what would go.

import { Button, Group, Stack, Text } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { call, type Item } from "../../api/client";
import { useAct } from "../../api/hooks";
import { Dialog, FormDialog, RemovalDialog } from "../../parts/dialog";
import { Failure } from "../../parts/failure";
import { keepOf, keepsAll, keepValues, type KeepValues } from "../../parts/fields/keep";
import { KeepFields, keepMeaning } from "../../parts/fields/keep-fields";
import { DepthField, NamespaceField } from "../../parts/fields/scope-fields";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import { DryRun, pruneBody, useDryRun, useDryRunState, type PruneScope } from "./preview-panel";

type Job = Item<"/admin/prune">;

/** Runs a job now, after a look at what it would do. */
export function RunDialog({ job, onClose }: { job: Job; onClose: () => void }) {
  const { open } = useTaskView();
  const scope = {
    store: job.store,
    ns: job.ns ?? "",
    ...(job["max-depth"] === undefined ? {} : { depth: job["max-depth"] }),
    keep: keepOf(keepValues(job)),
  };
  const run = useAct<void, string>(
    async () => (await call("post", "/admin/prune/{id}/run", { params: { path: { id: job.id } } })).data,
    {
      refresh: ["/admin/prune", "/nodes/{node}/tasks"],
      quiet: true,
      onDone: (upid) => {
        onClose();
        open(upid);
      },
    },
  );
  return (
    <Dialog title={texts.prune.runTitle(job.id)} onClose={onClose} size="xl">
      <Stack gap="sm">
        <Text size="sm">{keepMeaning(job)}</Text>
        <Text size="sm">{texts.prune.runHint}</Text>
        <StartedDryRun scope={scope} />
        <Failure error={run.error} />
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            {texts.common.cancel}
          </Button>
          <Button color="red" onClick={() => run.mutate()} loading={run.isPending}>
            {texts.prune.runAnyway}
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

/** A dry run that starts when it is drawn. */
function StartedDryRun({ scope, onStarted }: { scope: PruneScope; onStarted?: (upid: string) => void }) {
  const [asked] = useState(scope);
  const { mutate, error, data } = useDryRun(asked);
  useEffect(() => mutate(undefined, { onSuccess: (upid) => onStarted?.(upid) }), [mutate, onStarted]);
  return (
    <>
      <Failure error={error} />
      {data && <DryRun upid={data} keep={asked.keep} />}
    </>
  );
}

type Values = KeepValues & { ns: string; "max-depth": string };

/** Prunes a datastore by hand: settings, beginning with a namespace, then what would go, then the datastore's name. */
export function PruneNow({ store, ns = "", onClose }: { store: string; ns?: string; onClose: () => void }) {
  const [scope, setScope] = useState<PruneScope>();
  const isNext = useRef(false);
  if (scope) return <Confirm scope={scope} onClose={onClose} />;
  return (
    <FormDialog<Values, PruneScope>
      title={texts.prune.pruneTitle(store)}
      values={{ ...keepValues(), ns, "max-depth": "" }}
      validate={(values) => (keepsAll(keepOf(values)) ? { "keep-last": texts.prune.keepNeeded } : {})}
      send={async (values) => ({
        store,
        ns: values.ns.trim(),
        ...(values["max-depth"] === "" ? {} : { depth: Number(values["max-depth"]) }),
        keep: keepOf(values),
      })}
      submit={texts.prune.pruneNext}
      onDone={(next) => {
        isNext.current = true;
        setScope(next);
      }}
      onClose={() => {
        // The next step takes the form's place.
        if (!isNext.current) onClose();
      }}
    >
      {(form) => (
        <>
          <NamespaceField form={form} name="ns" store={store} />
          <DepthField form={form} name="max-depth" />
          <KeepFields form={form} />
        </>
      )}
    </FormDialog>
  );
}

function Confirm({ scope, onClose }: { scope: PruneScope; onClose: () => void }) {
  const { open } = useTaskView();
  const [upid, setUpid] = useState<string>();
  const { isOver } = useDryRunState(upid);
  return (
    <RemovalDialog
      title={texts.prune.pruneTitle(scope.store)}
      name={scope.store}
      submit={texts.prune.pruneNow}
      isWaiting={!isOver}
      remove={async () => {
        const path = { store: scope.store };
        const answer = await call("post", "/admin/datastore/{store}/prune-datastore", {
          params: { path },
          body: pruneBody(scope),
        });
        return answer.data;
      }}
      refresh={["/admin/prune", "/nodes/{node}/tasks"]}
      onDone={open}
      onClose={onClose}
      size="xl"
      details={<StartedDryRun scope={scope} onStarted={setUpid} />}
    >
      <Text size="sm">{texts.prune.pruneWarning}</Text>
      <Text size="sm">{keepMeaning(scope.keep)}</Text>
    </RemovalDialog>
  );
}
