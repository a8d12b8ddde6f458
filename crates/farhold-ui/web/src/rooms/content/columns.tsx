// What is shown of a group or a snapshot in the list.

import { bytes } from "../../format/bytes";
import { dateTime } from "../../format/time";
import type { Column } from "../../parts/table";
import { State } from "../../parts/state";
import { texts } from "../../texts";
import { newestSize, rowKey, type Row, type SortColumn } from "./arrange";
import styles from "./content.module.css";
import { groupCrypt, verificationOf, type Crypt, type Snapshot, type Verification } from "./model";
import { extent, type Marked } from "./selection";

const words = texts.content;

interface ColumnsOf {
  marked: Marked;
  onMark: (snapshots: readonly Snapshot[]) => void;
  /** All snapshots that are shown. */
  shown: readonly Snapshot[];
  isOpen: (group: string) => boolean;
  onToggle: (group: string) => void;
  /** Whether the snapshots are still on their way. */
  isWaiting: boolean;
  /** Whether anything is encrypted or signed; else a column that says so of nothing would only take room. */
  hasCrypt: boolean;
}

export const snapshotsOf = (row: Row): readonly Snapshot[] => (row.kind === "group" ? row.snapshots : [row.snapshot]);

type ContentColumn = Column<Row> & { id: SortColumn | "mark" | "crypt" };

export function columnsOf(list: ColumnsOf): readonly ContentColumn[] {
  const { marked, onMark, shown, isWaiting } = list;
  const all = extent(marked, shown);
  return [
    {
      id: "mark",
      title: words.markAll,
      width: "2.5rem",
      header: (
        <MarkBox label={words.markAll} state={all} isDisabled={shown.length === 0} onChange={() => onMark(shown)} />
      ),
      cell: (row) => {
        const state = extent(marked, snapshotsOf(row));
        const snapshots = snapshotsOf(row);
        return (
          <MarkBox
            label={words.mark(rowKey(row))}
            state={state}
            isDisabled={snapshots.length === 0}
            onChange={() => onMark(snapshots)}
          />
        );
      },
    },
    { id: "name", title: words.backup, value: rowKey, cell: (row) => <Name row={row} list={list} /> },
    {
      id: "time",
      title: words.time,
      width: "9.5rem",
      phone: false,
      value: (row) => (row.kind === "group" ? row.group.last : row.snapshot.time),
      cell: (row) => {
        const time = row.kind === "snapshot" ? row.snapshot.time : row.group.last;
        return time > 0 ? <Minute time={time} /> : null;
      },
    },
    {
      id: "size",
      title: texts.common.size,
      width: "5.5rem",
      align: "right",
      phone: false,
      value: (row) => (row.kind === "group" ? newestSize(row.snapshots) : row.snapshot.size),
      cell: (row) => {
        if (row.kind === "snapshot") return bytes(row.snapshot.size);
        const size = newestSize(row.snapshots);
        return isWaiting && size < 0 ? null : bytes(size < 0 ? undefined : size);
      },
    },
    {
      id: "verification",
      title: words.verification,
      width: "9rem",
      value: (row) => verificationOf(snapshotsOf(row)),
      cell: (row) => <Verified row={row} />,
    },
    ...(list.hasCrypt ? [CRYPT] : []),
  ];
}

const CRYPT: ContentColumn = {
  id: "crypt",
  title: words.encryption,
  width: "6.5rem",
  phone: false,
  cell: (row) => {
    const crypt: Crypt | undefined = row.kind === "group" ? groupCrypt(row.snapshots) : row.snapshot.crypt;
    return crypt === undefined ? null : words.crypts[crypt];
  },
};

/** A time without its seconds, which the name of a snapshot has. */
function Minute({ time }: { time: number }) {
  const text = dateTime(time);
  return (
    <span className={styles.oneLine} title={text}>
      {text.slice(0, -3)}
    </span>
  );
}

function Name({ row, list }: { row: Row; list: ColumnsOf }) {
  if (row.kind === "snapshot") {
    const { snapshot } = row;
    return (
      <div className={styles.nameText} data-level={2}>
        <span className={styles.marks}>
          <span className={styles.oneLine} title={snapshot.name}>
            {snapshot.name.slice(snapshot.group.length + 1)}
          </span>
          {snapshot.isProtected && <Mark>{words.protected}</Mark>}
        </span>
        {snapshot.comment && <div className={styles.comment}>{snapshot.comment}</div>}
      </div>
    );
  }
  const { group, snapshots } = row;
  const isOpen = list.isOpen(group.name);
  const isWhole = list.isWaiting || snapshots.length === group.count;
  const count = isWhole ? words.snapshots(group.count) : words.someOf(snapshots.length, group.count);
  const about = [group.comment, group.owner].filter(Boolean).join(" · ");
  const protectedCount = snapshots.filter((snapshot) => snapshot.isProtected).length;
  return (
    <div className={styles.name}>
      <button
        type="button"
        className={styles.toggle}
        disabled={snapshots.length === 0}
        aria-expanded={isOpen}
        aria-label={isOpen ? words.collapse(group.name) : words.expand(group.name)}
        onClick={() => list.onToggle(group.name)}
      >
        <span aria-hidden>{isOpen ? "▾" : "▸"}</span>
      </button>
      <div className={styles.nameText}>
        <span className={styles.marks}>
          <strong>
            {group.type}/<wbr />
            {group.id}
          </strong>
          <span className={styles.count}>{count}</span>
          {protectedCount > 0 && <Mark>{words.protectedCount(protectedCount)}</Mark>}
        </span>
        <div className={styles.comment} title={about}>
          {about}
        </div>
      </div>
    </div>
  );
}

interface MarkBoxProps {
  label: string;
  state: "all" | "some" | "none";
  isDisabled: boolean;
  onChange: () => void;
}

/** A box to mark with. The browser's own: there is one in each of very many rows. */
function MarkBox({ label, state, isDisabled, onChange }: MarkBoxProps) {
  return (
    <input
      type="checkbox"
      className={styles.box}
      aria-label={label}
      checked={state === "all"}
      ref={(box) => {
        if (box) box.indeterminate = state === "some";
      }}
      disabled={isDisabled}
      onChange={onChange}
    />
  );
}

const Mark = ({ children }: { children: string }) => <span className={styles.mark}>{children}</span>;

const TONES: Record<Verification, "good" | "bad" | "quiet"> = { ok: "good", failed: "bad", none: "quiet" };

/** Whether one snapshot was verified, and with which result. */
export function SnapshotVerified({ snapshot }: { snapshot: Snapshot }) {
  if (snapshot.size === undefined && snapshot.verification === "none") {
    return (
      <State tone="running" title={words.inProgressHint}>
        {words.inProgress}
      </State>
    );
  }
  return <State tone={TONES[snapshot.verification]}>{words.verifications[snapshot.verification]}</State>;
}

function Verified({ row }: { row: Row }) {
  if (row.kind === "snapshot") return <SnapshotVerified snapshot={row.snapshot} />;
  if (row.snapshots.length === 0) return null;
  const worst = verificationOf(row.snapshots);
  const number = row.snapshots.filter((snapshot) => snapshot.verification === worst).length;
  const { ok, failed, none } = words.groupVerifications;
  return <State tone={TONES[worst]}>{worst === "ok" ? ok : worst === "failed" ? failed(number) : none(number)}</State>;
}
