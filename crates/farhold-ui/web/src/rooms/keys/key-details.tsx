// One key: its state, its fingerprint, the jobs that use it.

import { Text } from "@mantine/core";
import { useRead } from "../../api/hooks";
import { dateTime } from "../../format/time";
import { Copyable } from "../../parts/copy";
import { Dialog } from "../../parts/dialog";
import { Facts } from "../../parts/facts";
import { Loaded } from "../../parts/failure";
import { State } from "../../parts/state";
import { texts } from "../../texts";
import { KeyState } from "./key-state";

const words = texts.keys;

export function KeyDetails({ id, onClose }: { id: string; onClose: () => void }) {
  const key = useRead("/farhold/encryption-keys/{id}", { params: { path: { id } } });
  return (
    <Dialog title={words.details(id)} onClose={onClose}>
      <Loaded query={key}>
        {(value) => (
          <Facts
            rows={[
              [texts.common.state, <KeyState archivedAt={value["archived-at"]} />],
              [
                words.problem,
                value.problem && (
                  <>
                    <State tone="bad">{words.problem}</State>
                    <Text size="sm">{value.problem}</Text>
                  </>
                ),
              ],
              [words.fingerprint, value.fingerprint && <Copyable value={value.fingerprint} what={words.fingerprint} />],
              [words.created, dateTime(value.created)],
              [words.modified, dateTime(value.modified)],
              [words.archivedAt, value["archived-at"] && dateTime(value["archived-at"])],
              [words.activeIn, value["active-in"]?.join(", ") || words.unused],
              [words.associatedWith, value["associated-with"]?.join(", ") || words.unused],
              [words.path, value.path],
              [words.hint, value.hint],
            ]}
          />
        )}
      </Loaded>
    </Dialog>
  );
}
