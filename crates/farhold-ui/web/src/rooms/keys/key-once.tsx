// A new key, the one time that it can be seen. The dialog is left by its button only, after the key was kept.

import { Alert, Button, Checkbox, CopyButton, Group, Stack, Text } from "@mantine/core";
import { useState } from "react";
import { Copyable } from "../../parts/copy";
import { Dialog } from "../../parts/dialog";
import { Facts } from "../../parts/facts";
import { saveText } from "../../parts/save-text";
import { texts } from "../../texts";
import { keyFileText, type NewKey } from "./key-file";

const words = texts.keys;

export function KeyOnce({ id, secret, onClose }: { id: string; secret: NewKey; onClose: () => void }) {
  const [isKept, setKept] = useState(false);
  const text = keyFileText(secret);
  return (
    <Dialog title={words.once.title(id)} onClose={onClose} isHeld>
      <Stack gap="md">
        <Alert color="yellow" title={words.once.only}>
          <Text size="sm">{words.once.losing}</Text>
        </Alert>
        <Text size="sm">{words.once.keep}</Text>
        <Facts
          rows={[
            [words.fingerprint, secret.fingerprint && <Copyable value={secret.fingerprint} what={words.fingerprint} />],
          ]}
        />
        <Group gap="xs">
          <Button data-autofocus onClick={() => saveText(`${id}.key.json`, text, "application/json")}>
            {words.once.download}
          </Button>
          <CopyButton value={text}>
            {({ copied, copy }) => (
              <Button variant="default" onClick={copy}>
                {copied ? texts.common.copied : words.once.copy}
              </Button>
            )}
          </CopyButton>
        </Group>
        <Checkbox label={words.once.kept} checked={isKept} onChange={(event) => setKept(event.currentTarget.checked)} />
        <Group justify="flex-end">
          <Button disabled={!isKept} onClick={onClose}>
            {texts.common.close}
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}
