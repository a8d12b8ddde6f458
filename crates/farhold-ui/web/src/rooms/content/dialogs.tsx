// The dialog that is open over the list. It works on what the list knows now of the group or snapshot of that name.

import { Button } from "@mantine/core";
import { texts } from "../../texts";
import { useSnapshotActions } from "./actions";
import type { Place } from "./download";
import { ForgetGroupDialog, ForgetSnapshotDialog } from "./forget-dialogs";
import { MoveGroupDialog, OwnerDialog } from "./group-dialogs";
import type { Group, Snapshot } from "./model";
import { NotesDialog } from "./notes-dialog";
import { PruneGroupDialog } from "./prune-group-dialog";
import type { Rights } from "./rights";
import { SnapshotDialog } from "./snapshot-dialog";
import { VerifyDialog } from "./verify-dialog";

export interface Open {
  kind: "snapshot" | "notes" | "forget" | "verify" | "prune" | "owner" | "move";
  /** Of a group or a snapshot. */
  name: string;
}

interface OpenDialogProps {
  open: Open;
  groups: readonly Group[];
  place: Place;
  names: readonly string[];
  rights: Rights;
  onOpen: (open: Open) => void;
  onClose: () => void;
}

export function OpenDialog({ open, groups, place, names, rights, onOpen, onClose }: OpenDialogProps) {
  const group = groups.find(({ name }) => open.name === name || open.name.startsWith(`${name}/`));
  const snapshot = group?.snapshots.find(({ name }) => name === open.name);
  const snapshotActions = useSnapshotActions(place, rights, onOpen);
  if (!group) return null;
  const isGroup = open.name === group.name;
  if (!isGroup && !snapshot) return null;
  const forGroup = { place, group, onClose };
  switch (open.kind) {
    case "snapshot":
      return (
        snapshot && (
          <SnapshotDialog
            place={place}
            snapshot={snapshot}
            mayRead={rights.mayRead(snapshot.owner)}
            actions={<Buttons snapshot={snapshot} actionsOf={snapshotActions} />}
            onClose={onClose}
          />
        )
      );
    case "notes":
      return (
        <NotesDialog place={place} of={snapshot ?? group} mayModify={rights.mayModify(group.owner)} onClose={onClose} />
      );
    case "forget":
      return snapshot ? (
        <ForgetSnapshotDialog
          place={place}
          snapshot={snapshot}
          isLast={group.snapshots.length === 1}
          onClose={onClose}
        />
      ) : (
        <ForgetGroupDialog {...forGroup} />
      );
    case "verify":
      return <VerifyDialog {...forGroup} />;
    case "prune":
      return <PruneGroupDialog {...forGroup} />;
    case "owner":
      return <OwnerDialog {...forGroup} />;
    case "move":
      return <MoveGroupDialog {...forGroup} names={names} />;
  }
}

interface ButtonsProps {
  snapshot: Snapshot;
  actionsOf: ReturnType<typeof useSnapshotActions>;
}

/** What the menu of the row offers, without what is open already. */
function Buttons({ snapshot, actionsOf }: ButtonsProps) {
  return actionsOf(snapshot)
    .filter((action) => action.label !== texts.common.details && action.label !== texts.content.copyName)
    .map((action) => (
      <Button
        key={action.label}
        size="compact-sm"
        variant={action.color ? "outline" : "default"}
        onClick={action.onClick}
        disabled={action.disabled ?? false}
        {...(action.color ? { color: action.color } : {})}
      >
        {action.label}
      </Button>
    ));
}
