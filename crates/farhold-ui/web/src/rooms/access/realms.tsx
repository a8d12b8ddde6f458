// The realms: where passwords are checked. Those of the system and of this server can be described and ordered.

import { Checkbox, Text, TextInput } from "@mantine/core";
import { useState } from "react";
import { changesOf } from "../../api/changes";
import { call, type Answer, type Item } from "../../api/client";
import { useAct, useRead } from "../../api/hooks";
import { usePrivileges } from "../../api/server";
import { FormDialog } from "../../parts/dialog";
import { Loaded } from "../../parts/failure";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";

type Realm = Item<"/access/domains">;

const words = texts.access;

const COLUMNS: Column<Realm>[] = [
  { id: "realm", title: words.realm, value: (realm) => realm.realm },
  { id: "type", title: words.realms.kind, value: (realm) => words.realms.kinds[realm.type] },
  { id: "default", title: words.realms.default, value: (realm) => realm.default ?? false, width: "7rem" },
  { id: "comment", title: texts.common.comment, value: (realm) => realm.comment, phone: false },
];

/** Realms that have settings in the API. */
const PATHS = { pam: "/config/access/pam", pbs: "/config/access/pbs" } as const;
type Own = keyof typeof PATHS;

const isOwn = (type: Realm["type"]): type is Own => type in PATHS;

export function Realms() {
  const realms = useRead("/access/domains");
  const may = usePrivileges();
  const [edited, setEdited] = useState<Answer<"get", "/config/access/pbs">>();
  // What is edited is read afresh, with the state of the configuration that belongs to it.
  const open = useAct((type: Own) => call("get", PATHS[type]), { onDone: setEdited });
  const isManager = may("/access/domains", "Realm.Allocate");
  const edit = ({ type }: Realm) => isManager && isOwn(type) && open.mutate(type);
  return (
    <>
      <Loaded query={realms}>
        {(list) => (
          <>
            <Table
              label={words.tabs.realms}
              rows={list}
              columns={COLUMNS}
              rowKey={(realm) => realm.realm}
              onOpen={edit}
              actions={(realm) => [
                {
                  label: texts.common.edit,
                  onClick: () => edit(realm),
                  disabled: !isManager || !isOwn(realm.type),
                },
              ]}
            />
            {list.some((realm) => !isOwn(realm.type)) && (
              <Text size="sm" c="dimmed" mt="xs">
                {words.realms.foreign}
              </Text>
            )}
          </>
        )}
      </Loaded>
      {edited && <RealmForm answer={edited} onClose={() => setEdited(undefined)} />}
    </>
  );
}

interface RealmFormProps {
  answer: Answer<"get", "/config/access/pbs">;
  onClose: () => void;
}

function RealmForm({ answer: { data: realm, digest }, onClose }: RealmFormProps) {
  const stored = { comment: realm.comment ?? "", default: realm.default ?? false };
  return (
    <FormDialog
      title={words.realms.edit(realm.realm)}
      values={stored}
      send={(values) =>
        call("put", realm.type === "pam" ? PATHS.pam : PATHS.pbs, {
          body: {
            ...changesOf<{ comment: string }>(stored, { comment: values.comment }),
            // An update without it would take it away.
            ...(values.default ? { default: true } : {}),
            ...(digest ? { digest } : {}),
          },
        })
      }
      refresh={["/access/domains"]}
      done={texts.common.saved}
      size="md"
      onClose={onClose}
    >
      {(form) => (
        <>
          <TextInput label={texts.common.comment} data-autofocus {...form.getInputProps("comment")} />
          <Checkbox
            label={words.realms.isDefault}
            description={words.realms.isDefaultHint}
            {...form.getInputProps("default", { type: "checkbox" })}
          />
        </>
      )}
    </FormDialog>
  );
}
