// Removing a user, with what goes and what would be left behind.

import { Checkbox, List, Stack, Text } from "@mantine/core";
import { useState } from "react";
import { call } from "../../api/client";
import { RemovalDialog } from "../../parts/dialog";
import { texts } from "../../texts";
import { removeEntries } from "./acl-calls";
import { useAcl, type User } from "./data";

const words = texts.access;

interface UserRemovalProps {
  user: User;
  /** State of the configuration in which `user` was read. */
  digest: string | undefined;
  onClose: () => void;
}

export function UserRemoval({ user: { userid, tokens = [] }, digest, onClose }: UserRemovalProps) {
  const acl = useAcl();
  const [withEntries, setWithEntries] = useState(true);
  const entries = acl.data?.data.filter((entry) => entry.ugid === userid) ?? [];
  return (
    <RemovalDialog
      title={words.removeUser(userid)}
      name={userid}
      isWaiting={acl.isPending}
      remove={async () => {
        await call("delete", "/access/users/{userid}", {
          params: { path: { userid }, query: digest ? { digest } : {} },
        });
        if (withEntries) await removeEntries(entries);
      }}
      refresh={["/access/users", "/access/acl"]}
      done={texts.common.removed(userid)}
      onClose={onClose}
    >
      <Stack gap="xs">
        <Text size="sm">{words.gone.user(userid)}</Text>
        <Text size="sm">{words.gone.backups}</Text>
        {tokens.length > 0 && (
          <div>
            {words.gone.tokens(tokens.length)}
            <List size="sm">
              {tokens.map((token) => (
                <List.Item key={token.tokenid}>{token.tokenid}</List.Item>
              ))}
            </List>
          </div>
        )}
        {entries.length > 0 && (
          <>
            <Text size="sm">{words.gone.entries(entries.length)}</Text>
            <Checkbox
              label={words.gone.removeEntries}
              checked={withEntries}
              onChange={(event) => setWithEntries(event.currentTarget.checked)}
            />
          </>
        )}
      </Stack>
    </RemovalDialog>
  );
}
