// The question before a remote is removed. One that a sync job uses stays.

import { List, Text } from "@mantine/core";
import { call } from "../../api/client";
import { RemovalDialog } from "../../parts/dialog";
import { texts } from "../../texts";
import { jobsWith, useSyncJobs } from "./uses";

const words = texts.remotes;

interface RemoteRemovalProps {
  name: string;
  digest: string | undefined;
  onClose: () => void;
}

export function RemoteRemoval({ name, digest, onClose }: RemoteRemovalProps) {
  const jobs = useSyncJobs();
  const users = jobsWith(jobs.data, (job) => job.remote === name);
  return (
    <RemovalDialog
      title={words.remove(name)}
      name={name}
      isWaiting={users.length > 0}
      remove={() =>
        call("delete", "/config/remote/{name}", {
          params: { path: { name }, query: digest === undefined ? {} : { digest } },
        })
      }
      refresh={["/config/remote"]}
      done={texts.common.removed(name)}
      onClose={onClose}
    >
      {users.length > 0 ? (
        <>
          <Text size="sm">{words.removalUsed}</Text>
          <List size="sm">
            {users.map((id) => (
              <List.Item key={id}>{id}</List.Item>
            ))}
          </List>
        </>
      ) : (
        words.removal
      )}
    </RemovalDialog>
  );
}
