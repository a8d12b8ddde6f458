// Tables of any length: only rows in sight are drawn; sorted, filtered and walked through by keyboard.

import { Group, Menu, ActionIcon, Text, TextInput, UnstyledButton } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { texts } from "../texts";
import { arranged, type Sorting } from "./table-order";
import styles from "./table.module.css";

export interface Column<Row> {
  id: string;
  title: string;
  /** What is sorted by and searched in; the column cannot be sorted without. */
  value?: (row: Row) => string | number | boolean | null | undefined;
  /** What is shown; by default the value. */
  cell?: (row: Row) => ReactNode;
  /** CSS width; columns without share what is left. */
  width?: string;
  align?: "right";
  /** Whether it is shown on a phone; by default yes. */
  phone?: boolean;
  /** What stands at the top instead of the title. */
  header?: ReactNode;
}

/** Rows that hold others: those can be opened and closed, also with the arrow keys. */
export interface Tree<Row> {
  /** 1 for a row that stands by itself. */
  level: (row: Row) => number;
  /** Absent for a row that holds no others. */
  isOpen: (row: Row) => boolean | undefined;
  toggle: (row: Row) => void;
}

export interface RowAction {
  label: string;
  onClick: () => void;
  color?: string;
  disabled?: boolean;
}

interface TableProps<Row> {
  /** What is listed, for screen readers. */
  label: string;
  rows: readonly Row[];
  columns: readonly Column<Row>[];
  rowKey: (row: Row) => string;
  /** What a click on a row, or Enter, does. */
  onOpen?: (row: Row) => void;
  /** What the menu at the end of a row offers; made only for the row whose menu is open. */
  actions?: (row: Row) => readonly RowAction[];
  /** Names a row in the label of its menu. */
  rowName?: (row: Row) => string;
  sorting?: Sorting;
  /** Whether there is a field to filter with; by default if there are more than ten rows. */
  filter?: boolean;
  /** Beside the filter. */
  toolbar?: ReactNode;
  /** What is said when there are no rows at all. */
  empty?: ReactNode;
  /** CSS length above which the rows scroll. */
  maxHeight?: string;
  /** Rows come as they are: no sorting or filtering here. */
  isArranged?: boolean;
  /** Sorting is the caller's: what was chosen. `sorting` says what is shown. */
  onSort?: (sorting: Sorting) => void;
  tree?: Tree<Row>;
  /** What the space bar does with a row. */
  onMark?: (row: Row) => void;
  isSelected?: (row: Row) => boolean;
}

/** Height of a row that was not measured yet, in CSS pixels. */
const ROW_PIXELS = 41;
/** From this many rows on there is a filter. */
const FILTER_ROWS = 10;

/** A table of rows. */
export function Table<Row>(props: TableProps<Row>) {
  const { label, rows, columns, rowKey, onOpen, actions, toolbar, empty, isSelected, tree, onMark } = props;
  const [ownSorting, setSorting] = useState<Sorting | undefined>(props.sorting);
  const sorting = props.onSort ? props.sorting : ownSorting;
  const onSort = props.onSort ?? (props.isArranged ? undefined : setSorting);
  const [filter, setFilter] = useState("");
  const scroller = useRef<HTMLDivElement>(null);
  const isArranged = props.isArranged ?? false;
  const shown = useMemo(
    () => (isArranged ? rows : arranged(rows, columns, filter, sorting)),
    [rows, columns, filter, sorting, isArranged],
  );
  const virtual = useVirtualizer({
    count: shown.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PIXELS,
    getItemKey: (index) => rowKey(shown[index] as Row),
    overscan: 12,
  });
  const items = virtual.getVirtualItems();
  const before = items[0]?.start ?? 0;
  const after = virtual.getTotalSize() - (items.at(-1)?.end ?? 0);
  const hasFilter = !isArranged && (props.filter ?? rows.length > FILTER_ROWS);
  const width = columns.length + (actions ? 1 : 0);

  const step = (event: KeyboardEvent<HTMLTableRowElement>, index: number) => {
    if (event.target !== event.currentTarget) return;
    const row = shown[index];
    if (event.key === "Enter" && onOpen && row !== undefined) {
      event.preventDefault();
      return onOpen(row);
    }
    if (event.key === " " && onMark && row !== undefined) {
      event.preventDefault();
      return onMark(row);
    }
    if (tree && row !== undefined && event.key === (tree.isOpen(row) ? "ArrowLeft" : "ArrowRight")) {
      event.preventDefault();
      return tree.isOpen(row) === undefined ? undefined : tree.toggle(row);
    }
    const to =
      event.key === "ArrowDown"
        ? index + 1
        : event.key === "ArrowUp"
          ? index - 1
          : event.key === "ArrowLeft" && tree && row !== undefined
            ? shown.findLastIndex((other, at) => at < index && tree.level(other) < tree.level(row))
            : event.key === "Home"
              ? 0
              : event.key === "End"
                ? shown.length - 1
                : -1;
    if (to < 0 || to >= shown.length) return;
    event.preventDefault();
    virtual.scrollToIndex(to);
    requestAnimationFrame(() => scroller.current?.querySelector<HTMLElement>(`[data-index="${to}"]`)?.focus());
  };

  return (
    <div>
      {(hasFilter || toolbar) && (
        <Group mb="xs" gap="sm">
          {hasFilter && (
            <TextInput
              size="xs"
              aria-label={texts.common.filterRows(label)}
              placeholder={texts.common.filter}
              value={filter}
              onChange={(event) => setFilter(event.currentTarget.value)}
            />
          )}
          {hasFilter && (
            <Text size="xs" c="dimmed" role="status">
              {texts.common.rows(shown.length, rows.length)}
            </Text>
          )}
          {toolbar}
        </Group>
      )}
      {shown.length === 0 ? (
        <Text size="sm" c="dimmed" component="div">
          {rows.length > 0 ? texts.common.noMatch : (empty ?? texts.common.nothing)}
        </Text>
      ) : (
        <div
          ref={scroller}
          className={styles.scroller}
          style={{ maxHeight: props.maxHeight ?? "70dvh" }}
          tabIndex={0}
          role="region"
          aria-label={label}
        >
          <table
            className={styles.table}
            aria-label={label}
            aria-rowcount={shown.length + 1}
            {...(tree ? { role: "treegrid" } : {})}
          >
            <thead>
              <tr>
                {columns.map((column) => (
                  <HeaderCell key={column.id} column={column} {...(sorting ? { sorting } : {})} onSort={onSort} />
                ))}
                {actions && (
                  <th className={styles.actions} scope="col">
                    <span className={styles.hidden}>{texts.common.actions}</span>
                  </th>
                )}
              </tr>
            </thead>
            <tbody>
              {before > 0 && (
                <tr aria-hidden>
                  <td colSpan={width} style={{ height: before, padding: 0, border: 0 }} />
                </tr>
              )}
              {items.map((item) => {
                const row = shown[item.index] as Row;
                return (
                  <tr
                    key={item.key}
                    ref={virtual.measureElement}
                    data-index={item.index}
                    aria-rowindex={item.index + 2}
                    data-selected={isSelected?.(row) || undefined}
                    {...(tree ? { "aria-level": tree.level(row), "aria-expanded": tree.isOpen(row) } : {})}
                    className={onOpen ? styles.open : undefined}
                    tabIndex={onOpen ? 0 : -1}
                    onKeyDown={(event) => step(event, item.index)}
                    onClick={onOpen ? (event) => isPlainClick(event.target) && onOpen(row) : undefined}
                  >
                    <Cells table={props} row={row} />
                  </tr>
                );
              })}
              {after > 0 && (
                <tr aria-hidden>
                  <td colSpan={width} style={{ height: after, padding: 0, border: 0 }} />
                </tr>
              )}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}

interface CellsProps<Row> {
  /** The table's properties: the same as long as only the scroll position changes, and then nothing is drawn anew. */
  table: TableProps<Row>;
  row: Row;
}

const Cells = memo(function Cells<Row>({ table, row }: CellsProps<Row>) {
  const { columns, actions, rowName, rowKey } = table;
  return (
    <>
      {columns.map((column) => (
        <td key={column.id} data-align={column.align} data-phone={column.phone === false ? "no" : undefined}>
          {column.cell ? column.cell(row) : plain(column.value?.(row))}
        </td>
      ))}
      {actions && (
        <td className={styles.actions}>
          <RowMenu name={rowName?.(row) ?? rowKey(row)} actions={() => actions(row)} />
        </td>
      )}
    </>
  );
}) as <Row>(props: CellsProps<Row>) => ReactNode;

interface HeaderCellProps<Row> {
  column: Column<Row>;
  sorting?: Sorting;
  onSort: ((sorting: Sorting) => void) | undefined;
}

function HeaderCell<Row>({ column, sorting, onSort }: HeaderCellProps<Row>) {
  const direction = sorting?.column === column.id ? sorting.direction : undefined;
  return (
    <th
      scope="col"
      style={column.width ? { width: column.width } : undefined}
      data-align={column.align}
      data-phone={column.phone === false ? "no" : undefined}
      aria-sort={direction === "up" ? "ascending" : direction === "down" ? "descending" : undefined}
    >
      {column.value && onSort ? (
        <UnstyledButton
          className={styles.sort}
          aria-label={texts.common.sortBy(column.title)}
          onClick={() => onSort({ column: column.id, direction: direction === "up" ? "down" : "up" })}
        >
          {column.title}
          <span aria-hidden>{direction === "up" ? " ▲" : direction === "down" ? " ▼" : ""}</span>
        </UnstyledButton>
      ) : (
        (column.header ?? column.title)
      )}
    </th>
  );
}

/** The menu at the end of a row. */
export function RowMenu({ name, actions }: { name: string; actions: () => readonly RowAction[] }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <Menu opened={isOpen} onChange={setOpen} position="bottom-end" withinPortal>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={texts.common.actionsFor(name)}>
          <span aria-hidden>⋮</span>
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>{isOpen && <MenuItems actions={actions()} />}</Menu.Dropdown>
    </Menu>
  );
}

/** What a menu offers. */
export function MenuItems({ actions }: { actions: readonly RowAction[] }) {
  return actions.map(({ label, onClick, color, disabled = false }) => (
    // As text, the library's own red is too pale to read.
    <Menu.Item
      key={label}
      onClick={onClick}
      disabled={disabled}
      {...(color === "red" ? { c: "var(--mantine-color-error)" } : color ? { color } : {})}
    >
      {label}
    </Menu.Item>
  ));
}

/** Whether a click was for the row, and not for something in it that can be pressed itself. */
function isPlainClick(target: EventTarget): boolean {
  return target instanceof Element && !target.closest("button, a, input, label, [role=menu], [role=menuitem]");
}

function plain(value: string | number | boolean | null | undefined): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "boolean") return value ? texts.common.yes : texts.common.no;
  return String(value);
}
