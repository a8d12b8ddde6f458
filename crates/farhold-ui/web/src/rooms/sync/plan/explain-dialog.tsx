// Why a job takes a snapshot of the source, or leaves it out.

import { Autocomplete, Button, Group, Stack, Text } from "@mantine/core";
import { useMemo, useState } from "react";
import { useRead } from "../../../api/hooks";
import { Dialog } from "../../../parts/dialog";
import { Facts } from "../../../parts/facts";
import { Failure, Loaded } from "../../../parts/failure";
import { snapshotTime } from "../../../format/time";
import { texts } from "../../../texts";
import type { SyncJob } from "../job-row";

const words = texts.syncPlan.explain;

/** Snapshots that are offered: more than anybody reads, few enough for a list. */
const MOST_OFFERED = 50;
const SNAPSHOT = /^(vm|ct|host)\/[^/\s]+\/[^/\s]+$/;

export function ExplainDialog({ job, onClose }: { job: SyncJob; onClose: () => void }) {
  const anchor = (job["sync-direction"] === "push" ? job.ns : job["remote-ns"]) ?? "";
  const [ns, setNs] = useState(anchor);
  const [snapshot, setSnapshot] = useState("");
  const [asked, setAsked] = useState<{ ns: string; snapshot: string }>();
  const [isWrong, setWrong] = useState(false);
  const path = { id: job.id };
  // The dry run knows what there is on the source. Where it fails, names are typed.
  const plan = useRead("/farhold/sync/{id}/plan", { params: { path } });
  const answer = useRead(
    "/farhold/sync/{id}/explain",
    { params: { path, query: { snapshot: asked?.snapshot ?? "", ...(asked?.ns ? { ns: asked.ns } : {}) } } },
    { enabled: asked !== undefined },
  );
  const known = useMemo(() => {
    const groups = plan.data?.namespaces.find(({ source }) => source === ns)?.groups ?? [];
    return groups.flatMap(({ group, snapshots }) => snapshots.map(({ time }) => `${group}/${snapshotTime(time)}`));
  }, [plan.data, ns]);
  return (
    <Dialog title={words.title(job.id)} onClose={onClose}>
      <form
        noValidate
        aria-label={words.title(job.id)}
        onSubmit={(event) => {
          event.preventDefault();
          const isRight = SNAPSHOT.test(snapshot.trim());
          setWrong(!isRight);
          if (isRight) setAsked({ ns, snapshot: snapshot.trim() });
        }}
      >
        <Stack gap="sm">
          <Text size="sm">{words.hint}</Text>
          <Autocomplete
            label={words.namespace}
            placeholder={texts.common.rootNamespace}
            data={[...new Set(plan.data?.namespaces.map(({ source }) => source).filter((source) => source !== ""))]}
            value={ns}
            onChange={setNs}
          />
          <Autocomplete
            label={words.snapshot}
            description={words.snapshotHint}
            {...(known.length > 0 ? { placeholder: words.choose } : {})}
            data={known}
            limit={MOST_OFFERED}
            value={snapshot}
            error={isWrong && words.wrong}
            onChange={setSnapshot}
            data-autofocus
          />
          {asked && !answer.data && <Loaded query={answer}>{() => null}</Loaded>}
          {asked && answer.data && (
            <>
              <Failure error={answer.error} />
              <div role="status">
                <Facts
                  rows={[
                    [words.snapshot, answer.data.snapshot],
                    [words.action, words.does[answer.data.action]],
                    [words.because, answer.data.reason],
                    [
                      words.copy,
                      answer.data.removal && (answer.data.removal["is-protected"] ? words.copyKept : words.copyRemoved),
                    ],
                  ]}
                />
              </div>
            </>
          )}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              {texts.common.close}
            </Button>
            <Button type="submit" loading={answer.isFetching}>
              {words.ask}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}
