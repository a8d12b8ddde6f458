// What the menu of a group or a snapshot offers.

import { notifications } from "@mantine/notifications";
import { useAct } from "../../api/hooks";
import type { RowAction } from "../../parts/table";
import { texts } from "../../texts";
import type { Row } from "./arrange";
import { setProtection } from "./bulk-bar";
import type { Open } from "./dialogs";
import type { Place } from "./download";
import type { Group, Snapshot } from "./model";
import type { Rights } from "./rights";
import { useStart } from "./tasks";
import { LISTS } from "./use-content";
import { verifySnapshot } from "./verify-dialog";

const words = texts.content;

async function copyName(name: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(name);
    notifications.show({ color: "teal", message: words.nameCopied(name) });
  } catch {
    notifications.show({ color: "red", message: words.nameNotCopied });
  }
}

export function useActions(place: Place, rights: Rights, onOpen: (open: Open) => void) {
  const snapshotActions = useSnapshotActions(place, rights, onOpen);
  return (row: Row): readonly RowAction[] =>
    row.kind === "group" ? groupActions(row.group, rights, onOpen) : snapshotActions(row.snapshot);
}

function groupActions(group: Group, rights: Rights, onOpen: (open: Open) => void): readonly RowAction[] {
  const { name, owner } = group;
  const item = (kind: Exclude<Open["kind"], "snapshot">, label: string, isAllowed: boolean): RowAction => ({
    label,
    onClick: () => onOpen({ kind, name }),
    disabled: !isAllowed,
  });
  return [
    item("verify", words.verify, rights.mayVerify(owner)),
    item("prune", words.prune, rights.mayRemove(owner)),
    item("notes", words.notes, true),
    item("owner", words.changeOwner, rights.mayModify(owner)),
    item("move", words.move, rights.mayRemove(owner)),
    { label: words.copyName, onClick: () => void copyName(name) },
    { ...item("forget", words.forget, rights.mayRemove(owner)), color: "red" },
  ];
}

/** Returns what can be done with a snapshot. */
export function useSnapshotActions(place: Place, rights: Rights, onOpen: (open: Open) => void) {
  const verify = useStart((snapshot: Snapshot) => verifySnapshot(place, snapshot));
  const protect = useAct(
    async (snapshot: Snapshot) => {
      await setProtection(place, snapshot, !snapshot.isProtected);
      return snapshot;
    },
    {
      refresh: LISTS,
      done: ({ name, isProtected }) => (isProtected ? words.nowUnprotected(name) : words.nowProtected(name)),
    },
  );
  return (snapshot: Snapshot): readonly RowAction[] => {
    const { name, owner, isProtected } = snapshot;
    return [
      { label: texts.common.details, onClick: () => onOpen({ kind: "snapshot", name }) },
      { label: words.verify, onClick: () => verify.mutate(snapshot), disabled: !rights.mayVerify(owner) },
      {
        label: isProtected ? words.unprotect : words.protect,
        onClick: () => protect.mutate(snapshot),
        disabled: !rights.mayModify(owner),
      },
      {
        label: words.editNotes,
        onClick: () => onOpen({ kind: "notes", name }),
        disabled: !rights.mayModify(owner),
      },
      { label: words.copyName, onClick: () => void copyName(name) },
      {
        label: words.forget,
        onClick: () => onOpen({ kind: "forget", name }),
        disabled: isProtected || !rights.mayRemove(owner),
        color: "red",
      },
    ];
  };
}
