// Entries of the access control list in a table.

import { Button, Text } from "@mantine/core";
import { useState } from "react";
import { call } from "../../api/client";
import { usePrivileges } from "../../api/server";
import { useUser } from "../../api/session";
import { RemovalDialog } from "../../parts/dialog";
import { State } from "../../parts/state";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";
import { keyOf } from "./acl";
import { AclForm } from "./acl-form";
import { userOf, useUsers, type Entry } from "./data";

const words = texts.access;

const COLUMNS: Column<Entry>[] = [
  { id: "path", title: words.path, value: (entry) => entry.path },
  { id: "ugid", title: words.whoColumn, value: (entry) => entry.ugid },
  { id: "roleid", title: words.role, value: (entry) => entry.roleid },
  { id: "propagate", title: words.propagate, value: (entry) => entry.propagate, width: "8rem", phone: false },
];

interface AclTableProps {
  label: string;
  entries: readonly Entry[];
  /** State of the configuration in which they were read. */
  digest?: string | undefined;
  /** IDs of all users and API tokens; entries of others are marked. Not known if absent. */
  authIds?: readonly string[] | undefined;
  empty: string;
  /** Path that new entries get unless another is chosen; nothing can be changed if absent. */
  path?: string;
}

export function AclTable({ label, entries, digest, authIds, empty, path }: AclTableProps) {
  const may = usePrivileges();
  const users = useUsers();
  const me = useUser();
  const [edited, setEdited] = useState<Entry | "new">();
  const [removed, setRemoved] = useState<{ entry: Entry; digest: string | undefined }>();
  const isManager = may("/access/acl", "Permissions.Modify");
  // Users may give to their own tokens what they have themselves.
  const mayChange = (entry: Entry) => isManager || (entry.ugid !== me && userOf(entry.ugid) === me);
  const columns = COLUMNS.map((column) =>
    column.id === "ugid" && authIds
      ? { ...column, cell: (entry: Entry) => <Who id={entry.ugid} isKnown={authIds.includes(entry.ugid)} /> }
      : column,
  );
  const hasTokens = users.data?.data.some((user) => user.userid === me && user.tokens) ?? false;
  const isFixed = path === undefined;
  return (
    <>
      {!may("/access/acl", "Sys.Audit") && (
        <Text size="sm" c="dimmed" mb="xs">
          {words.onlyOwn}
        </Text>
      )}
      <Table
        label={label}
        rows={entries}
        columns={columns}
        rowKey={keyOf}
        sorting={{ column: "path", direction: "up" }}
        empty={empty}
        {...(isFixed
          ? {}
          : {
              toolbar: (isManager || hasTokens) && (
                <Button size="xs" onClick={() => setEdited("new")}>
                  {words.addPermission}
                </Button>
              ),
              onOpen: (entry: Entry) => mayChange(entry) && setEdited(entry),
              actions: (entry: Entry) => [
                { label: texts.common.edit, onClick: () => setEdited(entry), disabled: !mayChange(entry) },
                {
                  label: texts.common.remove,
                  color: "red",
                  onClick: () => setRemoved({ entry, digest }),
                  disabled: !mayChange(entry),
                },
              ],
            })}
      />
      {edited && !isFixed && (
        <AclForm
          {...(edited === "new" ? { path } : { path: edited.path, entry: edited })}
          onClose={() => setEdited(undefined)}
        />
      )}
      {removed && <EntryRemoval {...removed} onClose={() => setRemoved(undefined)} />}
    </>
  );
}

function Who({ id, isKnown }: { id: string; isKnown: boolean }) {
  return isKnown ? (
    id
  ) : (
    <>
      {id} <State tone="warning">{words.missingUser}</State>
    </>
  );
}

interface EntryRemovalProps {
  entry: Entry;
  digest: string | undefined;
  onClose: () => void;
}

function EntryRemoval({ entry: { path, ugid, roleid }, digest, onClose }: EntryRemovalProps) {
  return (
    <RemovalDialog
      title={words.removePermission}
      name={ugid}
      remove={() =>
        call("put", "/access/acl", {
          body: { path, "auth-id": ugid, role: roleid, delete: true, ...(digest ? { digest } : {}) },
        })
      }
      refresh={["/access/acl", "/access/permissions", "/farhold/access/check"]}
      done={texts.common.saved}
      onClose={onClose}
    >
      {words.permissionGone(ugid, roleid, path)}
    </RemovalDialog>
  );
}
