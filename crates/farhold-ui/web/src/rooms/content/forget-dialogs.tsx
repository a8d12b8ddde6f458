// Removing a group or a snapshot.

import { call } from "../../api/client";
import { dateTime } from "../../format/time";
import { RemovalDialog } from "../../parts/dialog";
import { texts } from "../../texts";
import type { Place } from "./download";
import { groupParameters, inNamespace, snapshotParameters, type Group, type Snapshot } from "./model";
import { LISTS } from "./use-content";

const words = texts.content.removal;

function removeGroup({ store, ns }: Place, group: Group) {
  const query = { ...inNamespace(ns), ...groupParameters(group), "error-on-protected": false };
  return call("delete", "/admin/datastore/{store}/groups", { params: { path: { store }, query } });
}

export function removeSnapshot({ store, ns }: Place, snapshot: Snapshot) {
  const query = { ...inNamespace(ns), ...snapshotParameters(snapshot) };
  return call("delete", "/admin/datastore/{store}/snapshots", { params: { path: { store }, query } });
}

export function ForgetGroupDialog({ place, group, onClose }: { place: Place; group: Group; onClose: () => void }) {
  const stay = group.snapshots.filter((snapshot) => snapshot.isProtected).length;
  const isPointless = stay > 0 && stay === group.count;
  return (
    <RemovalDialog
      title={words.group(group.name)}
      name={group.name}
      submit={texts.content.forget}
      isWaiting={isPointless}
      remove={async () => (await removeGroup(place, group)).data}
      refresh={LISTS}
      done={(gone) =>
        texts.content.namespaces.removed(gone["removed-groups"], gone["removed-snapshots"], gone["protected-snapshots"])
      }
      onClose={onClose}
    >
      {isPointless ? words.allProtected : words.groupWords(group.count - stay, group.name)}{" "}
      {stay > 0 && !isPointless && words.protectedStay(stay)} {words.space}
    </RemovalDialog>
  );
}

interface ForgetSnapshotProps {
  place: Place;
  snapshot: Snapshot;
  isLast: boolean;
  onClose: () => void;
}

export function ForgetSnapshotDialog({ place, snapshot, isLast, onClose }: ForgetSnapshotProps) {
  return (
    <RemovalDialog
      title={words.snapshot(snapshot.name)}
      name={snapshot.group}
      submit={texts.content.forget}
      remove={() => removeSnapshot(place, snapshot)}
      refresh={LISTS}
      done={texts.common.removed(snapshot.name)}
      onClose={onClose}
    >
      {words.snapshotWords(snapshot.name, dateTime(snapshot.time))} {isLast && words.lastOfGroup} {words.space}
    </RemovalDialog>
  );
}
