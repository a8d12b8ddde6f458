// The API tokens of all users.

import { Button } from "@mantine/core";
import { useState } from "react";
import { call } from "../../api/client";
import { usePrivileges } from "../../api/server";
import { useUser } from "../../api/session";
import { RemovalDialog } from "../../parts/dialog";
import { Loaded } from "../../parts/failure";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";
import { accountColumns } from "./account";
import { useUsers, userOf, type Token } from "./data";
import { NewSecret, SecretDialog, type Secret } from "./secret";
import { NewToken, tokenPath, TokenForm } from "./token-form";

const words = texts.access;

const COLUMNS: Column<Token>[] = [
  { id: "tokenid", title: words.token, value: (token) => token.tokenid },
  ...accountColumns<Token>(),
  { id: "comment", title: texts.common.comment, value: (token) => token.comment, phone: false },
];

type Open = { what: "new" } | { what: "edit" | "secret" | "removal"; token: Token; digest: string | undefined };

export function Tokens() {
  const users = useUsers();
  const may = usePrivileges();
  const me = useUser();
  const [open, setOpen] = useState<Open>();
  const [secret, setSecret] = useState<Secret>();
  const close = () => setOpen(undefined);
  const isManager = may("/access/users", "Permissions.Modify");
  const mayChange = (token: Token) => isManager || userOf(token.tokenid) === me;
  return (
    <>
      <Loaded query={users}>
        {({ data, digest }) => (
          <Table
            label={words.tabs.tokens}
            rows={data.flatMap((user) => user.tokens ?? [])}
            columns={COLUMNS}
            rowKey={(token) => token.tokenid}
            sorting={{ column: "tokenid", direction: "up" }}
            empty={words.noTokens}
            toolbar={
              <Button size="xs" onClick={() => setOpen({ what: "new" })}>
                {words.addToken}
              </Button>
            }
            onOpen={(token) => mayChange(token) && setOpen({ what: "edit", token, digest })}
            actions={(token) => [
              {
                label: texts.common.edit,
                onClick: () => setOpen({ what: "edit", token, digest }),
                disabled: !mayChange(token),
              },
              {
                label: words.newSecret,
                onClick: () => setOpen({ what: "secret", token, digest }),
                disabled: !mayChange(token),
              },
              {
                label: texts.common.remove,
                color: "red",
                onClick: () => setOpen({ what: "removal", token, digest }),
                disabled: !mayChange(token),
              },
            ]}
          />
        )}
      </Loaded>
      {open?.what === "new" && (
        <NewToken
          users={isManager ? (users.data?.data.map((user) => user.userid) ?? []) : [me]}
          onMade={setSecret}
          onClose={close}
        />
      )}
      {open?.what === "edit" && <TokenForm token={open.token} digest={open.digest} onClose={close} />}
      {open?.what === "secret" && (
        <NewSecret tokenid={open.token.tokenid} digest={open.digest} onMade={setSecret} onClose={close} />
      )}
      {open?.what === "removal" && (
        <RemovalDialog
          title={words.removeToken(open.token.tokenid)}
          name={open.token.tokenid}
          remove={() =>
            call("delete", "/access/users/{userid}/token/{token-name}", {
              params: { path: tokenPath(open.token.tokenid), query: open.digest ? { digest: open.digest } : {} },
            })
          }
          refresh={["/access/users", "/access/acl"]}
          done={texts.common.removed(open.token.tokenid)}
          onClose={close}
        >
          {words.tokenGone}
        </RemovalDialog>
      )}
      {secret && <SecretDialog secret={secret} onClose={() => setSecret(undefined)} />}
    </>
  );
}
