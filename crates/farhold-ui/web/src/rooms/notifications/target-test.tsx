// What came of a test message.

import { Button, Group, Loader, Stack, Text } from "@mantine/core";
import type { UseMutationResult } from "@tanstack/react-query";
import { wordsOf, type ApiFailure } from "../../api/failure";
import { Dialog } from "../../parts/dialog";
import { State } from "../../parts/state";
import { texts } from "../../texts";

const words = texts.notifications;

interface TestDialogProps {
  name: string;
  test: UseMutationResult<unknown, ApiFailure, string>;
  onClose: () => void;
}

export function TestDialog({ name, test, onClose }: TestDialogProps) {
  return (
    <Dialog title={words.testOf(name)} onClose={onClose} size="md">
      <Stack gap="sm" role="status">
        {test.isPending && (
          <Group gap="xs">
            <Loader size="xs" aria-hidden />
            <Text size="sm">{words.testing}</Text>
          </Group>
        )}
        {test.isSuccess && (
          <>
            <div>
              <State tone="good">{words.testDone}</State>
            </div>
            <Text size="sm">{words.testDoneHint}</Text>
          </>
        )}
        {test.error && (
          <>
            <div>
              <State tone="bad">{words.testFailed}</State>
            </div>
            <Text size="sm" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
              {wordsOf(test.error)}
            </Text>
          </>
        )}
      </Stack>
      <Group justify="flex-end" gap="xs" mt="md">
        <Button variant="default" disabled={test.isPending} onClick={() => test.mutate(name)}>
          {texts.common.retry}
        </Button>
        <Button onClick={onClose}>{texts.common.close}</Button>
      </Group>
    </Dialog>
  );
}
