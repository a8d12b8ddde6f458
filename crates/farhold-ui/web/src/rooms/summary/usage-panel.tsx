// How full a datastore is, and whether it can be used.

import { Stack, Text } from "@mantine/core";
import type { UseQueryResult } from "@tanstack/react-query";
import type { Data } from "../../api/client";
import type { ApiFailure } from "../../api/failure";
import { useRead } from "../../api/hooks";
import { CALM_SECONDS, LIVE_SECONDS, useDatastores } from "../../api/server";
import { bytes, factor } from "../../format/bytes";
import { estimatedFull, maintenanceOf } from "../../format/usage";
import { Facts } from "../../parts/facts";
import { Loaded } from "../../parts/failure";
import { Panel } from "../../parts/page";
import { StoreStates, UsageBar } from "../../parts/store-state";
import { useNow } from "../../parts/when";
import { texts } from "../../texts";

const words = texts.summary;

export type Status = Data<"get", "/admin/datastore/{store}/status">;

interface UsagePanelProps {
  store: string;
  status: UseQueryResult<Status, ApiFailure>;
}

export function UsagePanel({ store, status }: UsagePanelProps) {
  const listed = useDatastores().data?.find((entry) => entry.store === store);
  const usage = useRead("/status/datastore-usage", undefined, { every: CALM_SECONDS });
  const entry = usage.data?.find((one) => one.store === store);
  return (
    <Panel title={words.usage}>
      <Stack gap="sm">
        <Loaded query={status}>
          {({ used, total }) =>
            total === 0 ? <Text size="sm">{words.hidden}</Text> : <UsageBar store={store} used={used} total={total} />
          }
        </Loaded>
        <Facts
          rows={[
            [
              words.state,
              <StoreStates
                key="state"
                mountStatus={listed?.["mount-status"]}
                maintenance={listed?.maintenance}
                error={entry?.error}
              />,
            ],
            [words.maintenance, maintenanceOf(listed?.maintenance)?.message],
            ...(status.data && status.data.total > 0 ? sizes(status.data) : []),
            [words.full, entry?.total !== undefined && <Full key="full" date={entry["estimated-full-date"]} />],
            [
              words.comment,
              listed?.comment && (
                <Text key="comment" size="sm" style={{ whiteSpace: "pre-wrap" }}>
                  {listed.comment}
                </Text>
              ),
            ],
            [words.operations, <Operations key="operations" store={store} />],
          ]}
        />
      </Stack>
    </Panel>
  );
}

function sizes({ used, avail, total, "gc-status": gc }: Status) {
  return [
    [words.used, bytes(used)],
    [words.free, bytes(avail)],
    [words.size, bytes(total)],
    [words.dedup, gc && factor(gc["index-data-bytes"], gc["disk-bytes"])],
  ] as const;
}

function Full({ date }: { date: number | undefined }) {
  return estimatedFull(date, useNow(), texts.storeState.full);
}

/** What works on the datastore now. Whoever may not know it sees nothing of it. */
function Operations({ store }: { store: string }) {
  const { data } = useRead(
    "/admin/datastore/{store}/active-operations",
    { params: { path: { store } } },
    { every: 3 * LIVE_SECONDS },
  );
  return data ? words.operationsOf(data.read, data.write) : "–";
}
