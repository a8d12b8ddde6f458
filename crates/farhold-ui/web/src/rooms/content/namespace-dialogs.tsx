// Making, moving and removing namespaces.

import { Checkbox, NumberInput, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { call } from "../../api/client";
import { FormDialog, RemovalDialog } from "../../parts/dialog";
import { Failure } from "../../parts/failure";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import type { Place } from "./download";
import { isWithin, parentOf } from "./namespace-tree";
import { nameOf } from "./namespaces";
import { LISTS } from "./use-content";
import { inNamespace } from "./model";

const words = texts.content.namespaces;
const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,31}$/;

interface NamespaceDialogProps {
  place: Place;
  onClose: () => void;
  /** What to look at afterwards. */
  onChoose: (ns: string) => void;
}

export function AddNamespaceDialog({ place, onClose, onChoose }: NamespaceDialogProps) {
  return (
    <FormDialog
      title={words.add}
      values={{ name: "" }}
      submit={texts.common.add}
      validate={(values) => (NAME.test(values.name.trim()) ? {} : { name: words.nameWrong })}
      send={async (values) => {
        const { data } = await call("post", "/admin/datastore/{store}/namespace", {
          params: { path: { store: place.store } },
          body: { name: values.name.trim(), ...(place.ns === "" ? {} : { parent: place.ns }) },
        });
        return data;
      }}
      refresh={LISTS}
      done={(ns) => words.added(ns)}
      onDone={onChoose}
      onClose={onClose}
    >
      {(form) => (
        <>
          <Text size="sm">{words.addBelow(nameOf(place.ns))}</Text>
          <TextInput
            label={texts.common.name}
            required
            autoComplete="off"
            data-autofocus
            {...form.getInputProps("name")}
          />
        </>
      )}
    </FormDialog>
  );
}

type MoveValues = { target: string; "merge-groups": boolean; "delete-source": boolean; "max-depth": number | "" };

export function MoveNamespaceDialog({ place, onClose }: Omit<NamespaceDialogProps, "onChoose">) {
  const task = useTaskView();
  const values: MoveValues = { target: place.ns, "merge-groups": true, "delete-source": true, "max-depth": "" };
  return (
    <FormDialog
      title={words.moveOf(place.ns)}
      values={values}
      fieldOf={{ "target-ns": "target" }}
      submit={texts.content.move}
      validate={(current) => (current.target.trim() === "" ? { target: texts.common.required } : {})}
      send={async (current) => {
        const { data } = await call("post", "/admin/datastore/{store}/move-namespace", {
          params: { path: { store: place.store } },
          body: {
            ns: place.ns,
            "target-ns": current.target.trim(),
            "merge-groups": current["merge-groups"],
            "delete-source": current["delete-source"],
            ...(current["max-depth"] === "" ? {} : { "max-depth": current["max-depth"] }),
          },
        });
        return data;
      }}
      onDone={task.open}
      onClose={onClose}
    >
      {(form) => (
        <>
          <TextInput
            label={words.target}
            description={words.targetHint}
            required
            autoComplete="off"
            data-autofocus
            {...form.getInputProps("target")}
          />
          <Checkbox
            label={words.mergeGroups}
            description={words.mergeHint}
            {...form.getInputProps("merge-groups", { type: "checkbox" })}
          />
          <Checkbox label={words.deleteSource} {...form.getInputProps("delete-source", { type: "checkbox" })} />
          <NumberInput
            label={words.maxDepth}
            description={words.maxDepthHint}
            min={0}
            max={7}
            allowDecimal={false}
            {...form.getInputProps("max-depth")}
          />
        </>
      )}
    </FormDialog>
  );
}

/** Namespaces that are counted before one is removed; each is one call. */
const COUNTED_NAMESPACES = 40;

interface Inventory {
  groups: number;
  snapshots: number;
  unread: number;
}

async function inventory(store: string, names: readonly string[]): Promise<Inventory> {
  const sum: Inventory = { groups: 0, snapshots: 0, unread: 0 };
  for (const ns of names) {
    try {
      const { data } = await call("get", "/admin/datastore/{store}/groups", {
        params: { path: { store }, query: inNamespace(ns) },
      });
      sum.groups += data.length;
      sum.snapshots += data.reduce((count, group) => count + group["backup-count"], 0);
    } catch {
      sum.unread += 1;
    }
  }
  return sum;
}

export function RemoveNamespaceDialog({
  place,
  names,
  onClose,
  onChoose,
}: NamespaceDialogProps & { names: readonly string[] }) {
  // What was there when the dialog was opened: the list changes as soon as something is removed.
  const [affected] = useState(() => names.filter((ns) => isWithin(ns, place.ns)));
  const counted = affected.slice(0, COUNTED_NAMESPACES);
  const contents = useQuery({
    queryKey: ["namespace inventory", place.store, counted],
    queryFn: () => inventory(place.store, counted),
    staleTime: 0,
  });
  const { data } = contents;
  return (
    <RemovalDialog
      title={words.removeOf(place.ns)}
      name={place.ns}
      isWaiting={data === undefined}
      remove={async () => {
        const query = { ns: place.ns, "delete-groups": true, "error-on-protected": false };
        const path = { store: place.store };
        const { data: gone } = await call("delete", "/admin/datastore/{store}/namespace", { params: { path, query } });
        // Before the lists are read again: what is gone cannot be read.
        if (gone["protected-snapshots"] === 0) onChoose(parentOf(place.ns) ?? "");
        return gone;
      }}
      refresh={LISTS}
      done={(gone) => words.removed(gone["removed-groups"], gone["removed-snapshots"], gone["protected-snapshots"])}
      onClose={onClose}
    >
      <Failure error={contents.error} />
      {data === undefined ? words.counting : words.removes(affected.length - 1, data.groups, data.snapshots)}{" "}
      {affected.length > counted.length && words.removesAtLeast}{" "}
      {data !== undefined && data.unread > 0 && words.removesUnread(data.unread)}{" "}
      {data !== undefined && data.groups > 0 && `${words.protectedStay} ${texts.content.removal.space}`}
    </RemovalDialog>
  );
}
