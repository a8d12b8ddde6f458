// A look into a remote: its datastores, their namespaces, the backup groups in them.

import { Anchor, Breadcrumbs, Select, Stack, Text } from "@mantine/core";
import { useState } from "react";
import type { Item } from "../../api/client";
import { useRead } from "../../api/hooks";
import { dateTime } from "../../format/time";
import { Dialog } from "../../parts/dialog";
import { Loaded } from "../../parts/failure";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";

const words = texts.remotes.scan;

type Store = Item<"/config/remote/{name}/scan">;
type Group = Item<"/config/remote/{name}/scan/{store}/groups">;

export function ScanDialog({ remote, onClose }: { remote: string; onClose: () => void }) {
  const [store, setStore] = useState<string>();
  return (
    <Dialog title={words.title(remote)} onClose={onClose} size="xl">
      <Stack gap="sm">
        {store !== undefined && (
          <Breadcrumbs aria-label={words.path} component="nav">
            <Anchor component="button" type="button" size="sm" onClick={() => setStore(undefined)}>
              {words.stores}
            </Anchor>
            <Text size="sm" aria-current="page">
              {store}
            </Text>
          </Breadcrumbs>
        )}
        {store === undefined ? (
          <Stores remote={remote} onOpen={setStore} />
        ) : (
          <Contents remote={remote} store={store} />
        )}
      </Stack>
    </Dialog>
  );
}

const STORE_COLUMNS: Column<Store>[] = [
  { id: "store", title: texts.common.datastore, value: (row) => row.store },
  { id: "comment", title: texts.common.comment, value: (row) => row.comment ?? "" },
  { id: "maintenance", title: words.maintenance, value: (row) => row.maintenance, phone: false },
  { id: "mount", title: words.mount, value: (row) => mountOf(row), phone: false },
];

/** Whether a device is mounted; nothing for a datastore that always is. */
function mountOf(store: Store): string {
  const state = store["mount-status"];
  return state === undefined || state === "nonremovable" ? "" : state;
}

function Stores({ remote, onOpen }: { remote: string; onOpen: (store: string) => void }) {
  const stores = useRead("/config/remote/{name}/scan", { params: { path: { name: remote } } });
  return (
    <Loaded query={stores}>
      {(rows) => (
        <Table
          label={words.stores}
          rows={rows}
          columns={STORE_COLUMNS}
          rowKey={(row) => row.store}
          onOpen={(row) => onOpen(row.store)}
          empty={words.noStores}
          maxHeight="55dvh"
        />
      )}
    </Loaded>
  );
}

const GROUP_COLUMNS: Column<Group>[] = [
  { id: "group", title: words.group, value: (row) => `${row["backup-type"]}/${row["backup-id"]}` },
  {
    id: "count",
    title: words.snapshots,
    value: (row) => row["backup-count"],
    align: "right",
    width: "7rem",
    phone: false,
  },
  {
    id: "last",
    title: words.lastBackup,
    value: (row) => row["last-backup"],
    cell: (row) => (row["last-backup"] ? dateTime(row["last-backup"]) : texts.common.never),
    width: "11rem",
  },
  { id: "owner", title: texts.common.owner, value: (row) => row.owner, phone: false },
  { id: "comment", title: texts.common.comment, value: (row) => row.comment, phone: false },
];

function Contents({ remote, store }: { remote: string; store: string }) {
  const [ns, setNs] = useState("");
  const path = { name: remote, store };
  const namespaces = useRead("/config/remote/{name}/scan/{store}/namespaces", { params: { path } });
  const groups = useRead("/config/remote/{name}/scan/{store}/groups", {
    params: { path, query: ns === "" ? {} : { namespace: ns } },
  });
  return (
    <Stack gap="sm">
      <Loaded query={namespaces}>
        {(rows) => (
          <Select
            label={texts.common.namespace}
            data={rows.map((row) => ({ value: row.ns, label: row.ns === "" ? texts.common.rootNamespace : row.ns }))}
            value={ns}
            onChange={(value) => setNs(value ?? "")}
            allowDeselect={false}
            searchable
            maxDropdownHeight={280}
          />
        )}
      </Loaded>
      <Loaded query={groups}>
        {(rows) => (
          <Table
            label={words.groups}
            rows={rows}
            columns={GROUP_COLUMNS}
            rowKey={(row) => `${row["backup-type"]}/${row["backup-id"]}`}
            sorting={{ column: "group", direction: "up" }}
            empty={words.noGroups}
            maxHeight="50dvh"
          />
        )}
      </Loaded>
    </Stack>
  );
}
