// All datastores: how full they are, whether they can be used, and adding one.

import { Anchor, Button, Group, Progress, Text } from "@mantine/core";
import { useMemo, useState } from "react";
import { Link, useNavigate } from "react-router";
import { useRead } from "../../api/hooks";
import { CALM_SECONDS, useDatastores, usePrivileges } from "../../api/server";
import { bytes, percent } from "../../format/bytes";
import { nowSeconds, span } from "../../format/time";
import { Failure, Loaded } from "../../parts/failure";
import { Page } from "../../parts/page";
import { State } from "../../parts/state";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";
import { AddDatastore } from "./add";
import { useMount } from "./mount";
import { RemoveDatastore } from "./remove";
import { RepairDialog } from "./repair";
import { rowsOf, type Row } from "./rows";
import { Unmount } from "./unmount";

type Open = { what: "add" } | { what: "unmount" | "repair" | "remove"; row: Row };

export default function Datastores() {
  const stores = useDatastores();
  const usage = useRead("/status/datastore-usage", undefined, { every: CALM_SECONDS });
  const configs = useRead("/config/datastore");
  const can = usePrivileges();
  const navigate = useNavigate();
  const [open, setOpen] = useState<Open>();
  const close = () => setOpen(undefined);
  const { mount, mayMount } = useMount();
  const rows = useMemo(
    () => rowsOf(stores.data ?? [], usage.data ?? [], configs.data ?? []),
    [stores.data, usage.data, configs.data],
  );
  const actions = (row: Row) => {
    const { store } = row;
    return [
      { label: texts.datastores.open, onClick: () => void navigate(`/datastore/${store}`) },
      { label: texts.datastores.options, onClick: () => void navigate(`/datastore/${store}/options`) },
      ...(row.mount === "notmounted"
        ? [{ label: texts.datastores.mount, onClick: () => mount.mutate(store), disabled: !mayMount(store) }]
        : []),
      ...(row.mount === "mounted"
        ? [
            {
              label: texts.datastores.unmount,
              onClick: () => setOpen({ what: "unmount", row }),
              disabled: !mayMount(store),
            },
          ]
        : []),
      {
        label: texts.datastores.repairItem,
        onClick: () => setOpen({ what: "repair", row }),
        disabled: !can(`/datastore/${store}`, "Datastore.Modify"),
      },
      {
        label: texts.datastores.remove,
        color: "red",
        onClick: () => setOpen({ what: "remove", row }),
        disabled: !can(`/datastore/${store}`, "Datastore.Allocate"),
      },
    ];
  };
  return (
    <Page
      title={texts.shell.datastores}
      actions={
        <Button onClick={() => setOpen({ what: "add" })} disabled={!can("/datastore", "Datastore.Allocate")}>
          {texts.datastores.add}
        </Button>
      }
    >
      <Failure error={usage.error} />
      <Loaded query={stores}>
        {() => (
          <Table
            label={texts.datastores.list}
            rows={rows}
            columns={COLUMNS}
            rowKey={({ store }) => store}
            actions={actions}
            sorting={{ column: "store", direction: "up" }}
            empty={texts.datastores.none}
          />
        )}
      </Loaded>
      {open?.what === "add" && <AddDatastore onClose={close} />}
      {open?.what === "unmount" && (
        <Unmount store={open.row.store} collectsGarbage={open.row.gcOnUnmount} onClose={close} />
      )}
      {open?.what === "repair" && <RepairDialog store={open.row.store} onClose={close} />}
      {open?.what === "remove" && <RemoveDatastore store={open.row.store} onClose={close} />}
    </Page>
  );
}

/** From this share on a datastore counts as nearly full. */
const NEARLY_FULL = 0.9;

const COLUMNS: readonly Column<Row>[] = [
  {
    id: "store",
    title: texts.common.datastore,
    value: ({ store }) => store,
    cell: ({ store }) => (
      <Anchor component={Link} to={`/datastore/${store}`} size="sm">
        {store}
      </Anchor>
    ),
  },
  {
    id: "state",
    title: texts.common.state,
    value: stateWord,
    cell: (row) => <StateCell row={row} />,
    width: "9rem",
  },
  {
    id: "usage",
    title: texts.datastores.usage,
    value: shareOf,
    cell: (row) => <UsageCell row={row} />,
    width: "12rem",
  },
  {
    id: "available",
    title: texts.datastores.available,
    value: ({ available }) => available,
    cell: ({ available }) => bytes(available),
    align: "right",
    phone: false,
  },
  {
    id: "full",
    title: texts.datastores.full,
    value: ({ full }) => full,
    cell: ({ full, total }) => (total === undefined ? "–" : fullWord(full)),
    phone: false,
  },
  { id: "path", title: texts.datastores.path, value: ({ path }) => path, phone: false },
  { id: "comment", title: texts.common.comment, value: ({ comment }) => comment, phone: false },
];

function shareOf({ used, total }: Row): number | undefined {
  return used !== undefined && total ? used / total : undefined;
}

function UsageCell({ row }: { row: Row }) {
  const share = shareOf(row);
  if (share === undefined) return <Text size="sm">–</Text>;
  const text = percent(share);
  return (
    <div>
      <Progress.Root size="sm">
        <Progress.Section
          value={share * 100}
          color={share >= NEARLY_FULL ? "red" : "cyan"}
          aria-label={texts.datastores.usageOf(row.store, text)}
        />
      </Progress.Root>
      <Group gap={6}>
        <Text size="xs">{text}</Text>
        <Text size="xs" c="dimmed">
          {bytes(row.used)} / {bytes(row.total)}
        </Text>
      </Group>
    </div>
  );
}

/** Whether it should be there, and cannot be opened. */
function isFailed(row: Row): boolean {
  return row.maintenance === "" && row.mount !== "notmounted" && row.error !== undefined;
}

function stateWord(row: Row): string {
  if (row.maintenance !== "") {
    return texts.datastores.maintenance(texts.options.maintenanceNames[row.maintenance] ?? row.maintenance);
  }
  if (isFailed(row)) return texts.datastores.failed;
  return texts.datastores.mounts[row.mount];
}

function StateCell({ row }: { row: Row }) {
  const tone = isFailed(row)
    ? "bad"
    : row.maintenance !== ""
      ? "warning"
      : row.mount === "notmounted"
        ? "quiet"
        : "good";
  const more = row.message || (isFailed(row) ? row.error : undefined);
  return (
    <div>
      <State tone={tone}>{stateWord(row)}</State>
      {more && <Text size="xs">{more}</Text>}
    </div>
  );
}

/** How long until it is full; a time that has passed means that it shrinks. */
function fullWord(full: number | undefined): string {
  if (full === undefined) return texts.datastores.fullShort;
  const left = full - nowSeconds();
  return full === 0 || left <= 0 ? texts.datastores.fullNever : span(left);
}
