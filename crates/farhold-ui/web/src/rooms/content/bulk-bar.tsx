// What can be done with all marked snapshots.

import { Button, Text } from "@mantine/core";
import { useState } from "react";
import { call } from "../../api/client";
import { dateTime } from "../../format/time";
import { texts } from "../../texts";
import { BatchDialog, type Step } from "./batch-dialog";
import styles from "./content.module.css";
import type { Place } from "./download";
import { removeSnapshot } from "./forget-dialogs";
import { inNamespace, snapshotParameters, type Snapshot } from "./model";
import type { Rights } from "./rights";
import type { Chosen } from "./selection";
import { ended } from "./tasks";
import { verifyGroup, verifySnapshot } from "./verify-dialog";

const words = texts.content;
/** Names that are shown of what will be removed. */
const SHOWN_NAMES = 12;

type Kind = "verify" | "protect" | "unprotect" | "forget";

interface BulkBarProps {
  place: Place;
  chosen: Chosen;
  rights: Rights;
  onClear: () => void;
}

/** Sets or takes away the protection of a snapshot. */
export function setProtection({ store, ns }: Place, snapshot: Snapshot, isProtected: boolean) {
  const body = { ...inNamespace(ns), ...snapshotParameters(snapshot), protected: isProtected };
  return call("put", "/admin/datastore/{store}/protected", { params: { path: { store } }, body });
}

export function BulkBar({ place, chosen, rights, onClear }: BulkBarProps) {
  // What a dialog works on must not change while it is open.
  const [open, setOpen] = useState<{ kind: Kind; chosen: Chosen }>();
  const { snapshots } = chosen;
  const all = (may: (owner: string) => boolean) => snapshots.every((snapshot) => may(snapshot.owner));
  const isProtected = snapshots.some((snapshot) => snapshot.isProtected);
  const isUnprotected = snapshots.some((snapshot) => !snapshot.isProtected);
  const button = (kind: Kind, label: string, isEnabled: boolean) => (
    <Button
      size="compact-sm"
      disabled={!isEnabled}
      onClick={() => setOpen({ kind, chosen })}
      {...(kind === "forget" ? { color: "red", variant: "outline" } : { variant: "default" })}
    >
      {label}
    </Button>
  );
  return (
    <>
      {snapshots.length > 0 && (
        <div className={styles.bar} role="group" aria-label={words.marked(snapshots.length)}>
          <Text size="sm" fw={600} role="status">
            {words.marked(snapshots.length)}
          </Text>
          {button("verify", words.verify, all(rights.mayVerify))}
          {button("protect", words.protect, isUnprotected && all(rights.mayModify))}
          {button("unprotect", words.unprotect, isProtected && all(rights.mayModify))}
          {button("forget", words.forget, isUnprotected && all(rights.mayRemove))}
          <Button size="compact-sm" variant="subtle" onClick={onClear}>
            {words.unmark}
          </Button>
        </div>
      )}
      {open && (
        <Batch place={place} kind={open.kind} chosen={open.chosen} onClose={() => setOpen(undefined)} onEnd={onClear} />
      )}
    </>
  );
}

interface BatchProps {
  place: Place;
  kind: Kind;
  chosen: Chosen;
  onClose: () => void;
  onEnd: () => void;
}

function Batch({ place, kind, chosen, onClose, onEnd }: BatchProps) {
  const { snapshots, whole, single } = chosen;
  if (kind === "forget") {
    const gone = snapshots.filter((snapshot) => !snapshot.isProtected);
    const stay = snapshots.length - gone.length;
    // One by one, also where a whole group is marked: a snapshot that came since is not removed with it.
    const steps = gone.map((snapshot) => ({ name: snapshot.name, run: () => removeSnapshot(place, snapshot) }));
    return (
      <BatchDialog
        title={words.removal.marked}
        submit={words.forget}
        steps={steps}
        confirm={place.store}
        onClose={onClose}
        onEnd={onEnd}
      >
        {words.removal.markedWords(gone.length)}
        <ul>
          {gone.slice(0, SHOWN_NAMES).map((snapshot) => (
            <li key={snapshot.name}>
              {snapshot.name} ({dateTime(snapshot.time)})
            </li>
          ))}
          {gone.length > SHOWN_NAMES && <li>{words.removal.more(gone.length - SHOWN_NAMES)}</li>}
        </ul>
        {stay > 0 && words.removal.protectedStay(stay)} {words.removal.space}
      </BatchDialog>
    );
  }
  if (kind === "verify") {
    const task = async (started: Promise<{ data: string }>, signal: AbortSignal) => {
      const result = await ended((await started).data, signal);
      if (result !== "OK") throw new Error(result ?? words.batch.unknownResult);
    };
    const steps: Step[] = [
      ...whole.map((group) => ({
        name: group.name,
        run: (signal: AbortSignal) => task(verifyGroup(place, group), signal),
      })),
      ...single.map((snapshot) => ({
        name: snapshot.name,
        run: (signal: AbortSignal) => task(verifySnapshot(place, snapshot), signal),
      })),
    ];
    return (
      <BatchDialog title={words.batch.verify} submit={words.verify} steps={steps} onClose={onClose} onEnd={onEnd}>
        {words.batch.words(snapshots.length)} {words.batch.verifyWords(steps.length)}
      </BatchDialog>
    );
  }
  const isProtected = kind === "protect";
  const affected = snapshots.filter((snapshot) => snapshot.isProtected !== isProtected);
  return (
    <BatchDialog
      title={isProtected ? words.batch.protect : words.batch.unprotect}
      submit={isProtected ? words.protect : words.unprotect}
      steps={affected.map((snapshot) => ({
        name: snapshot.name,
        run: () => setProtection(place, snapshot, isProtected),
      }))}
      onClose={onClose}
      onEnd={onEnd}
    >
      {words.batch.words(affected.length)}
    </BatchDialog>
  );
}
