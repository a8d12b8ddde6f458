// The backups of a datastore: its namespaces, and the groups and snapshots of the one that is looked at.

import { useState } from "react";
import { useSearchParams } from "react-router";
import { useRead } from "../../api/hooks";
import { Loaded } from "../../parts/failure";
import type { RowAction } from "../../parts/table";
import { texts } from "../../texts";
import { PruneNow } from "../prune/prune-run";
import { Backups } from "./backups";
import styles from "./content.module.css";
import type { Place } from "./download";
import { AddNamespaceDialog, MoveNamespaceDialog, RemoveNamespaceDialog } from "./namespace-dialogs";
import { parentOf } from "./namespace-tree";
import { Namespaces } from "./namespaces";
import { useRights } from "./rights";
import { useRefreshAfterTasks } from "./use-content";
import { VerifyDialog } from "./verify-dialog";

const words = texts.content;
const MAX_DEPTH = 7;
/** Namespaces change rarely, and what is done here is seen at once. */
const NAMESPACES_SECONDS = 300;

type NamespaceDialog = "add" | "move" | "remove" | "prune" | "verify";

export default function Content({ store }: { store: string }) {
  useRefreshAfterTasks(store);
  const namespaces = useRead(
    "/admin/datastore/{store}/namespace",
    { params: { path: { store } } },
    { every: NAMESPACES_SECONDS },
  );
  return <Loaded query={namespaces}>{(list) => <Namespaced store={store} names={list.map(({ ns }) => ns)} />}</Loaded>;
}

/** The namespace that is looked at stands in the address, so that it can be linked to. */
function Namespaced({ store, names }: { store: string; names: readonly string[] }) {
  const [search, setSearch] = useSearchParams();
  // A dialog stays with the namespace that it was opened for, also when another one is looked at meanwhile.
  const [dialog, setDialog] = useState<{ kind: NamespaceDialog; place: Place }>();
  // Not everybody may see the root.
  const ns = search.get("ns") ?? (names.includes("") ? "" : (names[0] ?? ""));
  const choose = (next: string) =>
    setSearch((before) => {
      const after = new URLSearchParams(before);
      after.set("ns", next);
      if (next === "") after.delete("ns");
      return after;
    });
  const rights = useRights(store, ns);
  const place = { store, ns };
  const parent = parentOf(ns);
  const item = (kind: NamespaceDialog, label: string, isAllowed: boolean): RowAction => ({
    label,
    onClick: () => setDialog({ kind, place }),
    disabled: !isAllowed,
  });
  const mayManage = parent !== undefined && rights.mayManage(parent);
  const actions: readonly RowAction[] = [
    item("verify", words.verify, rights.mayVerifyNamespace),
    item("prune", words.prune, rights.mayPruneNamespace),
    item("add", words.namespaces.add, rights.mayManage(ns) && (ns === "" ? 0 : ns.split("/").length) < MAX_DEPTH),
    item("move", words.namespaces.move, mayManage),
    { ...item("remove", words.namespaces.remove, mayManage), color: "red" },
  ];
  return (
    <>
      <div className={styles.layout}>
        <Namespaces names={names} current={ns} onChoose={choose} actions={actions} />
        <Backups key={ns} place={place} names={names} rights={rights} />
      </div>
      {dialog && <Dialog {...dialog} names={names} onClose={() => setDialog(undefined)} onChoose={choose} />}
    </>
  );
}

interface DialogProps {
  kind: NamespaceDialog;
  place: Place;
  names: readonly string[];
  onClose: () => void;
  onChoose: (ns: string) => void;
}

function Dialog({ kind, place, names, onClose, onChoose }: DialogProps) {
  switch (kind) {
    case "add":
      return <AddNamespaceDialog place={place} onClose={onClose} onChoose={onChoose} />;
    case "move":
      return <MoveNamespaceDialog place={place} onClose={onClose} />;
    case "remove":
      return <RemoveNamespaceDialog place={place} names={names} onClose={onClose} onChoose={onChoose} />;
    case "prune":
      return <PruneNow store={place.store} ns={place.ns} onClose={onClose} />;
    case "verify":
      return <VerifyDialog place={place} onClose={onClose} />;
  }
}
