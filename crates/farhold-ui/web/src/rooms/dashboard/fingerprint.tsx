// The fingerprint of the server's certificate, to be carried to other servers and clients.

import { Button, Stack, Text } from "@mantine/core";
import { useState } from "react";
import { Copyable } from "../../parts/copy";
import { Dialog } from "../../parts/dialog";
import { Loaded } from "../../parts/failure";
import { texts } from "../../texts";
import { useHost } from "./use-host";

const words = texts.dashboard;

export function FingerprintButton() {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <Button size="compact-sm" variant="default" onClick={() => setOpen(true)}>
        {words.showFingerprint}
      </Button>
      {isOpen && (
        <Dialog title={words.fingerprint} onClose={() => setOpen(false)}>
          <Fingerprint />
        </Dialog>
      )}
    </>
  );
}

function Fingerprint() {
  const host = useHost();
  if (host.fetchStatus === "idle" && host.data === undefined && !host.error) {
    return <Text size="sm">{words.noFingerprint}</Text>;
  }
  return (
    <Loaded query={host}>
      {({ info }) => (
        <Stack gap="sm">
          <Text size="sm">{words.fingerprintUse}</Text>
          <Copyable value={info.fingerprint ?? "–"} what={words.fingerprint} />
        </Stack>
      )}
    </Loaded>
  );
}
