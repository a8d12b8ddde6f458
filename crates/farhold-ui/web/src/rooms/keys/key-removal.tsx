// The question before a key is erased: only archived ones that no job uses can be.

import { List, Text } from "@mantine/core";
import { call } from "../../api/client";
import { RemovalDialog } from "../../parts/dialog";
import { texts } from "../../texts";

const words = texts.keys;

interface KeyRemovalProps {
  id: string;
  isArchived: boolean;
  /** The jobs that it is active in or belongs to. */
  jobs: readonly string[];
  digest: string | undefined;
  onClose: () => void;
}

export function KeyRemoval({ id, isArchived, jobs, digest, onClose }: KeyRemovalProps) {
  return (
    <RemovalDialog
      title={words.remove(id)}
      name={id}
      isWaiting={!isArchived || jobs.length > 0}
      remove={() =>
        call("delete", "/config/encryption-keys/{id}", {
          params: { path: { id }, query: digest === undefined ? {} : { digest } },
        })
      }
      refresh={["/config/encryption-keys"]}
      done={texts.common.removed(id)}
      onClose={onClose}
    >
      <Text size="sm">{words.removal}</Text>
      {!isArchived && (
        <Text size="sm" mt="xs">
          {words.removalActive}
        </Text>
      )}
      {jobs.length > 0 && (
        <>
          <Text size="sm" mt="xs">
            {words.removalUsed}
          </Text>
          <List size="sm">
            {jobs.map((job) => (
              <List.Item key={job}>{job}</List.Item>
            ))}
          </List>
        </>
      )}
    </RemovalDialog>
  );
}
