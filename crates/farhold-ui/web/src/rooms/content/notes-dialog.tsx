// The notes of a group or a snapshot.

import { Textarea } from "@mantine/core";
import { useState } from "react";
import { call } from "../../api/client";
import { useRead } from "../../api/hooks";
import { Dialog, FormDialog } from "../../parts/dialog";
import { Loaded } from "../../parts/failure";
import { texts } from "../../texts";
import type { Place } from "./download";
import { groupParameters, inNamespace, snapshotParameters, type Group, type Snapshot } from "./model";
import { LISTS } from "./use-content";

const words = texts.content;

/** Reads all notes; the lists have only their first line. */
export function useNotes({ store, ns }: Place, of: Group | Snapshot) {
  const path = { store };
  const isSnapshot = of.kind === "snapshot";
  const ofSnapshot = useRead(
    "/admin/datastore/{store}/notes",
    { params: { path, query: { ...inNamespace(ns), ...snapshotParameters(isSnapshot ? of : { ...of, time: 1 }) } } },
    { enabled: isSnapshot },
  );
  const ofGroup = useRead(
    "/admin/datastore/{store}/group-notes",
    { params: { path, query: { ...inNamespace(ns), ...groupParameters(of) } } },
    { enabled: !isSnapshot },
  );
  return isSnapshot ? ofSnapshot : ofGroup;
}

function save({ store, ns }: Place, of: Group | Snapshot, notes: string) {
  const params = { path: { store } };
  if (of.kind === "group") {
    const body = { ...inNamespace(ns), ...groupParameters(of), notes };
    return call("put", "/admin/datastore/{store}/group-notes", { params, body });
  }
  const body = { ...inNamespace(ns), ...snapshotParameters(of), notes };
  return call("put", "/admin/datastore/{store}/notes", { params, body });
}

interface NotesDialogProps {
  place: Place;
  of: Group | Snapshot;
  mayModify: boolean;
  onClose: () => void;
}

export function NotesDialog({ place, of, mayModify, onClose }: NotesDialogProps) {
  const notes = useNotes(place, of);
  // What is edited is the state when the dialog was opened; looking again must not replace what was typed.
  const [before, setBefore] = useState<string>();
  if (before === undefined && notes.data !== undefined && !notes.isFetching) setBefore(notes.data);
  const title = words.notesOf(of.name);
  if (before === undefined) {
    return (
      <Dialog title={title} onClose={onClose}>
        <Loaded query={notes}>{() => null}</Loaded>
      </Dialog>
    );
  }
  return (
    <FormDialog
      title={title}
      values={{ notes: before }}
      send={(values) => save(place, of, values.notes)}
      refresh={[...LISTS, "/admin/datastore/{store}/notes", "/admin/datastore/{store}/group-notes"]}
      done={texts.common.saved}
      isReadOnly={!mayModify}
      onClose={onClose}
    >
      {(form) => (
        <Textarea
          label={words.notes}
          autosize
          minRows={6}
          maxRows={16}
          data-autofocus
          {...form.getInputProps("notes")}
        />
      )}
    </FormDialog>
  );
}
