// What can be done with a whole group: another owner, another namespace.

import { Autocomplete, Checkbox, Select, Text } from "@mantine/core";
import { call } from "../../api/client";
import { useRead } from "../../api/hooks";
import { FormDialog } from "../../parts/dialog";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import type { Place } from "./download";
import { groupParameters, inNamespace, type Group } from "./model";
import { nameOf } from "./namespaces";
import { LISTS } from "./use-content";

const words = texts.content;

interface GroupDialogProps {
  place: Place;
  group: Group;
  onClose: () => void;
}

export function OwnerDialog({ place, group, onClose }: GroupDialogProps) {
  // Not everybody may see the users; a name can be typed as well.
  const users = useRead("/access/users", { params: { query: { include_tokens: true } } });
  const known = users.data?.flatMap(({ userid, tokens }) => [userid, ...(tokens ?? []).map(({ tokenid }) => tokenid)]);
  return (
    <FormDialog
      title={words.changeOwnerOf(group.name)}
      values={{ "new-owner": group.owner }}
      validate={(values) => (values["new-owner"].trim() === "" ? { "new-owner": texts.common.required } : {})}
      send={async (values) => {
        const owner = values["new-owner"].trim();
        const body = { ...inNamespace(place.ns), ...groupParameters(group), "new-owner": owner };
        await call("post", "/admin/datastore/{store}/change-owner", { params: { path: { store: place.store } }, body });
        return owner;
      }}
      refresh={LISTS}
      done={(owner) => words.ownerChanged(group.name, owner)}
      onClose={onClose}
    >
      {(form) => (
        <Autocomplete
          label={words.newOwner}
          description={words.newOwnerHint}
          data={[...new Set(known ?? [])]}
          openOnFocus={false}
          data-autofocus
          {...form.getInputProps("new-owner")}
        />
      )}
    </FormDialog>
  );
}

export function MoveGroupDialog({ place, group, names, onClose }: GroupDialogProps & { names: readonly string[] }) {
  const task = useTaskView();
  return (
    <FormDialog
      title={words.moveGroup.title(group.name)}
      values={{ target: "", "merge-group": true }}
      fieldOf={{ "target-ns": "target" }}
      submit={words.move}
      validate={(values) => (values.target === "" ? { target: texts.common.required } : {})}
      send={async (values) => {
        const target = values.target.slice(1);
        const { data } = await call("post", "/admin/datastore/{store}/move-group", {
          params: { path: { store: place.store } },
          body: {
            ...inNamespace(place.ns),
            ...groupParameters(group),
            ...(target === "" ? {} : { "target-ns": target }),
            "merge-group": values["merge-group"],
          },
        });
        return data;
      }}
      onDone={task.open}
      onClose={onClose}
    >
      {(form) => (
        <>
          <Text size="sm">{words.moveGroup.note}</Text>
          <Select
            label={words.moveGroup.target}
            data={names.flatMap((ns) => (ns === place.ns ? [] : [{ value: `/${ns}`, label: nameOf(ns) }]))}
            searchable
            openOnFocus={false}
            data-autofocus
            {...form.getInputProps("target")}
          />
          <Checkbox
            label={words.namespaces.mergeGroups}
            description={words.namespaces.mergeHint}
            {...form.getInputProps("merge-group", { type: "checkbox" })}
          />
        </>
      )}
    </FormDialog>
  );
}
