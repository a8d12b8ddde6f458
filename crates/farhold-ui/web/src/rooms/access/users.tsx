// The users, and what can be done with them.

import { Button } from "@mantine/core";
import { useState } from "react";
import { usePrivileges } from "../../api/server";
import { useUser } from "../../api/session";
import { Loaded } from "../../parts/failure";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";
import { accountColumns } from "./account";
import { useUsers, type User } from "./data";
import { PasswordForm } from "./password-form";
import { NewUser, UserForm } from "./user-form";
import { UserRemoval } from "./user-removal";

const words = texts.access;

const fullName = (user: User): string => [user.firstname, user.lastname].filter(Boolean).join(" ");

const COLUMNS: Column<User>[] = [
  { id: "userid", title: words.userName, value: (user) => user.userid },
  ...accountColumns<User>(),
  { id: "name", title: words.fullName, value: fullName, phone: false },
  { id: "email", title: words.email, value: (user) => user.email, phone: false },
  { id: "comment", title: texts.common.comment, value: (user) => user.comment, phone: false },
];

type Open =
  | { what: "new" }
  | { what: "edit"; user: User; digest: string | undefined }
  | { what: "password"; user: User }
  | { what: "removal"; user: User; digest: string | undefined };

export function Users() {
  const users = useUsers();
  const may = usePrivileges();
  const me = useUser();
  const [open, setOpen] = useState<Open>();
  const close = () => setOpen(undefined);
  const isManager = may("/access/users", "Permissions.Modify");
  const mayChange = (user: User) => isManager || user.userid === me;
  return (
    <>
      <Loaded query={users}>
        {({ data, digest }) => (
          <Table
            label={words.tabs.users}
            rows={data}
            columns={COLUMNS}
            rowKey={(user) => user.userid}
            sorting={{ column: "userid", direction: "up" }}
            {...(isManager
              ? {
                  toolbar: (
                    <Button size="xs" onClick={() => setOpen({ what: "new" })}>
                      {words.addUser}
                    </Button>
                  ),
                }
              : {})}
            onOpen={(user) => mayChange(user) && setOpen({ what: "edit", user, digest })}
            actions={(user) => [
              {
                label: texts.common.edit,
                onClick: () => setOpen({ what: "edit", user, digest }),
                disabled: !mayChange(user),
              },
              {
                label: words.changePassword,
                onClick: () => setOpen({ what: "password", user }),
                disabled: user.userid !== me && !may("/", "Permissions.Modify"),
              },
              {
                label: texts.common.remove,
                color: "red",
                onClick: () => setOpen({ what: "removal", user, digest }),
                disabled: !mayChange(user),
              },
            ]}
          />
        )}
      </Loaded>
      {open?.what === "new" && <NewUser onClose={close} />}
      {open?.what === "edit" && <UserForm user={open.user} digest={open.digest} onClose={close} />}
      {open?.what === "password" && <PasswordForm user={open.user.userid} onClose={close} />}
      {open?.what === "removal" && <UserRemoval user={open.user} digest={open.digest} onClose={close} />}
    </>
  );
}
