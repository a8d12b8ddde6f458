// The secret of an API token: made anew, and shown once.

import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { call } from "../../api/client";
import { Copyable } from "../../parts/copy";
import { Dialog, RemovalDialog } from "../../parts/dialog";
import { Facts } from "../../parts/facts";
import { texts } from "../../texts";
import { tokenPath } from "./token-form";

const words = texts.access;

export interface Secret {
  tokenid: string;
  value: string;
  /** Whether the token was made just now, so that it has no permissions yet. */
  isNew: boolean;
}

/** Shows a secret until somebody says that it was copied. It is nowhere else. */
export function SecretDialog({ secret, onClose }: { secret: Secret; onClose: () => void }) {
  return (
    <Dialog title={words.secretTitle(secret.tokenid)} onClose={onClose} isHeld>
      <Stack gap="sm">
        <Alert color="yellow" variant="light">
          {words.secretOnce}
        </Alert>
        <Facts
          rows={[
            [words.token, <Copyable key="id" value={secret.tokenid} what={words.token} />],
            [words.secret, <Copyable key="secret" value={secret.value} what={words.secret} />],
          ]}
        />
        <Text size="sm">{words.secretUse}</Text>
        {secret.isNew && <Text size="sm">{words.secretPermissions}</Text>}
        <Group justify="flex-end">
          <Button onClick={onClose}>{words.secretKept}</Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

interface NewSecretProps {
  tokenid: string;
  /** State of the configuration in which the token was read. */
  digest: string | undefined;
  onMade: (secret: Secret) => void;
  onClose: () => void;
}

/** Asks before a token's secret is replaced. */
export function NewSecret({ tokenid, digest, onMade, onClose }: NewSecretProps) {
  return (
    <RemovalDialog
      title={words.newSecretOf(tokenid)}
      name={tokenid}
      submit={words.makeNewSecret}
      remove={() =>
        call("put", "/access/users/{userid}/token/{token-name}", {
          params: { path: tokenPath(tokenid) },
          body: { regenerate: true, ...(digest ? { digest } : {}) },
        })
      }
      refresh={["/access/users"]}
      onDone={({ data }) => data && onMade({ tokenid, value: data.secret, isNew: false })}
      onClose={onClose}
    >
      {words.newSecretWarning}
    </RemovalDialog>
  );
}
