// The datastores: how full they are, when they will be, and whether they can be used.

import { Anchor, Text } from "@mantine/core";
import { useMemo } from "react";
import { Link } from "react-router";
import type { Item } from "../../api/client";
import { useRead } from "../../api/hooks";
import { CALM_SECONDS, useDatastores } from "../../api/server";
import { bytes, factor } from "../../format/bytes";
import { estimatedFull, usedShare } from "../../format/usage";
import { Loaded } from "../../parts/failure";
import { Panel } from "../../parts/page";
import { StoreStates, UsageBar } from "../../parts/store-state";
import { Table, type Column } from "../../parts/table";
import { useNow } from "../../parts/when";
import { texts } from "../../texts";

const words = texts.dashboard.stores;

interface Store extends Item<"/status/datastore-usage"> {
  comment?: string | null;
  maintenance?: string;
}

export function StoresPanel() {
  const usage = useRead("/status/datastore-usage", undefined, { every: CALM_SECONDS });
  const listed = useDatastores().data;
  const now = useNow();
  const stores = useMemo(() => {
    const byName = new Map(listed?.map((entry) => [entry.store, entry]));
    return (usage.data ?? []).map((entry): Store => ({ ...byName.get(entry.store), ...entry }));
  }, [usage.data, listed]);
  const columns = useMemo(() => columnsAt(now), [now]);
  return (
    <Panel title={words.title}>
      <Loaded query={usage}>
        {() => (
          <Table
            label={words.list}
            rows={stores}
            columns={columns}
            rowKey={(store) => store.store}
            sorting={{ column: "store", direction: "up" }}
            empty={words.none}
            maxHeight="24rem"
          />
        )}
      </Loaded>
    </Panel>
  );
}

const columnsAt = (now: number): readonly Column<Store>[] => [
  {
    id: "store",
    title: texts.common.name,
    value: (store) => store.store,
    cell: (store) => (
      <>
        <div>
          <Anchor component={Link} to={`/datastore/${store.store}`} size="sm">
            {store.store}
          </Anchor>
        </div>
        {store.comment && (
          <Text size="xs" c="dimmed" lineClamp={1}>
            {store.comment.split("\n")[0]}
          </Text>
        )}
      </>
    ),
  },
  {
    id: "usage",
    title: words.usage,
    value: (store) => usedShare(store.used, store.total),
    cell: (store) => (
      <>
        <UsageBar store={store.store} used={store.used} total={store.total} />
        <Text size="xs" c="dimmed">
          {store.error ?? sizeOf(store)}
        </Text>
      </>
    ),
    width: "35%",
  },
  {
    id: "full",
    title: words.full,
    value: (store) => store["estimated-full-date"],
    cell: (store) => estimatedFull(store["estimated-full-date"], now, texts.storeState.full),
    phone: false,
  },
  {
    id: "dedup",
    title: words.dedup,
    value: (store) => Number(dedupOf(store)) || undefined,
    cell: dedupOf,
    align: "right",
    phone: false,
  },
  {
    id: "state",
    title: texts.common.state,
    value: (store) => store["mount-status"],
    cell: (store) => (
      <StoreStates mountStatus={store["mount-status"]} maintenance={store.maintenance} error={store.error} />
    ),
  },
];

function sizeOf(store: Store): string {
  if (store.total !== undefined) return words.usedOf(bytes(store.used), bytes(store.total));
  return store["mount-status"] === "notmounted" ? "–" : words.hidden;
}

const dedupOf = ({ "gc-status": gc }: Store): string => factor(gc?.["index-data-bytes"], gc?.["disk-bytes"]);
