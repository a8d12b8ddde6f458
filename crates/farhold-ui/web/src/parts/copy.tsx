// A value that people carry elsewhere, such as a fingerprint.

import { Button, Code, CopyButton, Group } from "@mantine/core";
import { texts } from "../texts";

/** Shows a value in fixed width with a button that copies it. `what` names it for screen readers. */
export function Copyable({ value, what }: { value: string; what: string }) {
  return (
    <Group gap="xs">
      <Code style={{ overflowWrap: "anywhere" }}>{value}</Code>
      <CopyButton value={value}>
        {({ copied, copy }) => (
          <Button size="compact-xs" variant="default" onClick={copy} aria-label={texts.common.copyOf(what)}>
            {copied ? texts.common.copied : texts.common.copy}
          </Button>
        )}
      </CopyButton>
    </Group>
  );
}
