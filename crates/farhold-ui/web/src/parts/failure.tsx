// What went wrong, where it belongs, in the server's words.

import { Alert, Button, Group, Loader, Text } from "@mantine/core";
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { ApiFailure, wordsOf } from "../api/failure";
import { texts } from "../texts";

/** A failure in a box of its own; nothing if there is none. */
export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  if (!error) return null;
  return (
    <Alert color="red" title={texts.common.failed} role="alert" mb="sm">
      <Text size="sm" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
        {wordsOf(error)}
      </Text>
      {retry && (
        <Button mt="xs" size="compact-sm" variant="default" onClick={retry}>
          {texts.common.retry}
        </Button>
      )}
    </Alert>
  );
}

interface LoadedProps<Value> {
  query: UseQueryResult<Value, ApiFailure>;
  children: (value: Value) => ReactNode;
}

/** What was read, or that it is being read, or why it could not be. An older value stays in sight beside a failure. */
export function Loaded<Value>({ query, children }: LoadedProps<Value>) {
  return (
    <>
      {query.error && <Failure error={query.error} retry={() => void query.refetch()} />}
      {query.data !== undefined ? (
        children(query.data)
      ) : query.isPending && query.fetchStatus !== "idle" && !query.error ? (
        <Group gap="xs" p="xs" role="status">
          <Loader size="xs" aria-hidden />
          <Text size="sm">{texts.common.loading}</Text>
        </Group>
      ) : null}
    </>
  );
}
