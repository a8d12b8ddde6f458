// Groups and snapshots of one namespace: filtered, sorted, marked, and what can be done with each.

import { Button, Text } from "@mantine/core";
import { useDeferredValue, useMemo, useState } from "react";
import { Failure, Loaded } from "../../parts/failure";
import { Table } from "../../parts/table";
import type { Sorting } from "../../parts/table-order";
import { texts } from "../../texts";
import { arranged, NO_FILTERS, rowKey, rowsOf, type Filters, type Row } from "./arrange";
import { BulkBar } from "./bulk-bar";
import { columnsOf, snapshotsOf } from "./columns";
import styles from "./content.module.css";
import { OpenDialog, type Open } from "./dialogs";
import type { Place } from "./download";
import { FilterBar } from "./filter-bar";
import type { Rights } from "./rights";
import { chosen, toggled, type Marked } from "./selection";
import { useActions } from "./actions";
import { useContent } from "./use-content";

const words = texts.content;

interface BackupsProps {
  place: Place;
  /** All namespaces of the datastore. */
  names: readonly string[];
  rights: Rights;
}

const NO_GROUPS: ReadonlySet<string> = new Set();

export function Backups({ place, names, rights }: BackupsProps) {
  const { groups, snapshots, all } = useContent(place.store, place.ns);
  const [filters, setFilters] = useState<Filters>(NO_FILTERS);
  const [sorting, setSorting] = useState<Sorting>({ column: "name", direction: "up" });
  const [opened, setOpened] = useState(NO_GROUPS);
  const [marked, setMarked] = useState<Marked>(NO_GROUPS);
  const [open, setOpen] = useState<Open>();
  const actions = useActions(place, rights, setOpen);

  const filter = useDeferredValue(filters);
  const shown = useMemo(() => arranged(all, filter, sorting), [all, filter, sorting]);
  const shownSnapshots = useMemo(() => shown.flatMap((one) => one.snapshots), [shown]);
  const rows = useMemo(() => rowsOf(shown, (group) => opened.has(group)), [shown, opened]);
  const chosenNow = useMemo(() => chosen(marked, shown), [marked, shown]);
  const hasCrypt = useMemo(
    () => all.some((group) => group.snapshots.some((snapshot) => snapshot.crypt !== "none")),
    [all],
  );
  const toggle = (group: string) => {
    const next = new Set(opened);
    if (!next.delete(group)) next.add(group);
    setOpened(next);
  };
  const columns = columnsOf({
    marked,
    onMark: (list) => setMarked(toggled(marked, list)),
    shown: shownSnapshots,
    isOpen: (group) => opened.has(group),
    onToggle: toggle,
    isWaiting: snapshots.data === undefined,
    hasCrypt,
  });
  const isAllOpen = shown.length > 0 && shown.every((one) => opened.has(one.group.name));
  const onOpen = (row: Row) => {
    if (row.kind === "group") toggle(row.group.name);
    else setOpen({ kind: "snapshot", name: row.snapshot.name });
  };
  return (
    <div className={styles.backups}>
      {groups.data === undefined && <Loaded query={groups}>{() => null}</Loaded>}
      {groups.data !== undefined && <Failure error={groups.error} retry={() => void groups.refetch()} />}
      <Failure error={snapshots.error} retry={() => void snapshots.refetch()} />
      <BulkBar place={place} chosen={chosenNow} rights={rights} onClear={() => setMarked(NO_GROUPS)} />
      {(groups.data !== undefined || snapshots.data !== undefined) && (
        <Table
          label={words.backups}
          rows={rows}
          columns={columns}
          rowKey={rowKey}
          isArranged
          sorting={sorting}
          onSort={setSorting}
          onOpen={onOpen}
          onMark={(row) => snapshotsOf(row).length > 0 && setMarked(toggled(marked, snapshotsOf(row)))}
          isSelected={(row) => row.kind === "snapshot" && marked.has(row.snapshot.name)}
          tree={{
            level: (row) => (row.kind === "group" ? 1 : 2),
            isOpen: (row) =>
              row.kind === "group" && row.snapshots.length > 0 ? opened.has(row.group.name) : undefined,
            toggle: (row) => row.kind === "group" && toggle(row.group.name),
          }}
          actions={actions}
          empty={all.length > 0 ? texts.common.noMatch : words.noBackups}
          toolbar={
            all.length > 0 && (
              <>
                <FilterBar filters={filters} onChange={setFilters} />
                <Button
                  size="compact-sm"
                  variant="default"
                  disabled={shown.length === 0}
                  onClick={() => setOpened(isAllOpen ? NO_GROUPS : new Set(shown.map((one) => one.group.name)))}
                >
                  {isAllOpen ? words.collapseAll : words.expandAll}
                </Button>
                <Text size="xs" c="dimmed" role="status">
                  {snapshots.isPending && !snapshots.error
                    ? words.groups(shown.length)
                    : words.counts(shown.length, shownSnapshots.length)}
                </Text>
              </>
            )
          }
        />
      )}
      {open && (
        <OpenDialog
          open={open}
          groups={all}
          place={place}
          names={names}
          rights={rights}
          onOpen={setOpen}
          onClose={() => setOpen(undefined)}
        />
      )}
    </div>
  );
}
