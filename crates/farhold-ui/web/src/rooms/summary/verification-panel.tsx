// What is known of the snapshots' integrity: how many are verified, and how the verify jobs do.

import { Anchor, Stack, Text } from "@mantine/core";
import { Link } from "react-router";
import type { Item } from "../../api/client";
import { useRead } from "../../api/hooks";
import { CALM_SECONDS } from "../../api/server";
import { useSnapshotCounts } from "../../api/snapshot-counts";
import { Facts } from "../../parts/facts";
import { Failure, Loaded } from "../../parts/failure";
import { Panel } from "../../parts/page";
import { State, toneOfResult, type Tone } from "../../parts/state";
import { When } from "../../parts/when";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";

const words = texts.summary;

/** How a number of snapshots in a state is to be taken if it is not 0. */
const TONES: Record<string, Tone> = { failed: "bad", unreadable: "bad", unverified: "warning" };

export function VerificationPanel({ store }: { store: string }) {
  const jobs = useRead("/admin/verify", { params: { query: { store } } }, { every: CALM_SECONDS });
  return (
    <Panel
      title={words.verification}
      actions={
        <Anchor component={Link} size="sm" to={`/datastore/${store}/verify`}>
          {words.verifyMore}
        </Anchor>
      }
    >
      <Stack gap="sm">
        <Counts store={store} />
        <Loaded query={jobs}>
          {(list) =>
            list.length === 0 ? (
              <Text size="sm">{words.noJobs}</Text>
            ) : (
              <Facts rows={list.map((job) => [words.jobLine(job.id), <LastRun key={job.id} job={job} />] as const)} />
            )
          }
        </Loaded>
      </Stack>
    </Panel>
  );
}

function Counts({ store }: { store: string }) {
  const { counts, error, isPending } = useSnapshotCounts(store);
  if (error) return <Failure error={error} />;
  if (isPending) return null;
  if (!counts) return <Text size="sm">{words.uncounted}</Text>;
  return (
    <Facts
      rows={[
        ...counts.states.map(({ state, count }) => {
          const tone = count > 0 ? TONES[state] : undefined;
          return [words.states[state] ?? state, tone ? <State tone={tone}>{count}</State> : String(count)] as const;
        }),
        [words.counted, counts.counted !== undefined && <When key="counted" at={counts.counted} />],
      ]}
    />
  );
}

function LastRun({ job }: { job: Item<"/admin/verify"> }) {
  const { open } = useTaskView();
  const upid = job["last-run-upid"];
  if (!upid) return words.neverRan;
  const state = job["last-run-state"];
  const isRunning = job["last-run-endtime"] === undefined;
  return (
    <>
      <Anchor component="button" size="sm" onClick={() => open(upid)}>
        <State tone={isRunning ? "running" : toneOfResult(state)}>{isRunning ? words.running : state}</State>
      </Anchor>{" "}
      {!isRunning && <When at={job["last-run-endtime"]} />}
    </>
  );
}
