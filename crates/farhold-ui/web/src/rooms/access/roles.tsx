// The roles, which are fixed, and what they give.

import { Code, Group } from "@mantine/core";
import type { Item } from "../../api/client";
import { Loaded } from "../../parts/failure";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";
import { useRoles } from "./data";

type Role = Item<"/access/roles">;

const words = texts.access;

const COLUMNS: Column<Role>[] = [
  { id: "roleid", title: words.role, value: (role) => role.roleid, width: "20%" },
  { id: "comment", title: words.roles.purpose, value: (role) => role.comment, width: "28%", phone: false },
  {
    id: "privs",
    title: words.roles.privileges,
    value: (role) => role.privs.join(" "),
    cell: (role) => (
      <Group gap={4}>
        {role.privs.map((privilege) => (
          <Code key={privilege}>{privilege}</Code>
        ))}
        {role.privs.length === 0 && words.roles.none}
      </Group>
    ),
  },
];

export function Roles() {
  const roles = useRoles();
  return (
    <Loaded query={roles}>
      {(list) => <Table label={words.tabs.roles} rows={list} columns={COLUMNS} rowKey={(role) => role.roleid} />}
    </Loaded>
  );
}
