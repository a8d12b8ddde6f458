// One snapshot: everything that is known of it, its files, its notes, and its name for the command line.

import { Alert, Button, Group as Row, Stack, Text, Title } from "@mantine/core";
import { useAct } from "../../api/hooks";
import { useUser } from "../../api/session";
import { bytes } from "../../format/bytes";
import { dateTime } from "../../format/time";
import { Copyable } from "../../parts/copy";
import { Dialog } from "../../parts/dialog";
import { Facts } from "../../parts/facts";
import { Loaded } from "../../parts/failure";
import { Table, type Column } from "../../parts/table";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import { SnapshotVerified } from "./columns";
import { restoreCommand, repositoryOf } from "./command-line";
import { download, type Form, type Place } from "./download";
import type { File, Snapshot } from "./model";
import { nameOf } from "./namespaces";
import { useNotes } from "./notes-dialog";

const words = texts.content.details;

interface SnapshotDialogProps {
  place: Place;
  snapshot: Snapshot;
  mayRead: boolean;
  /** Buttons for what can be done with it. */
  actions: React.ReactNode;
  onClose: () => void;
}

export function SnapshotDialog({ place, snapshot, mayRead, actions, onClose }: SnapshotDialogProps) {
  const task = useTaskView();
  const notes = useNotes(place, snapshot);
  const { upid } = snapshot;
  return (
    <Dialog title={words.title(snapshot.name)} onClose={onClose} size="xl">
      <Stack gap="md">
        <Facts
          rows={[
            [texts.common.namespace, nameOf(place.ns)],
            [texts.content.time, dateTime(snapshot.time)],
            [texts.common.owner, snapshot.owner || texts.common.unknown],
            [texts.common.size, bytes(snapshot.size)],
            [
              texts.content.verification,
              <Row gap="xs" key="verification">
                <SnapshotVerified snapshot={snapshot} />
                {upid && (
                  <Button size="compact-xs" variant="default" onClick={() => task.open(upid)}>
                    {words.verifyLog}
                  </Button>
                )}
              </Row>,
            ],
            [texts.content.encryption, texts.content.crypts[snapshot.crypt]],
            [words.key, snapshot.fingerprint && <Copyable value={snapshot.fingerprint} what={words.key} />],
            [texts.content.protection, snapshot.isProtected ? texts.content.protected : texts.content.notProtected],
          ]}
        />
        {snapshot.size === undefined && <Alert color="blue">{texts.content.inProgressHint}</Alert>}
        <Row gap="xs">{actions}</Row>
        <section>
          <Title order={3} size="h5" mb="xs">
            {texts.content.notes}
          </Title>
          <Loaded query={notes}>
            {(text) => (
              <Text size="sm" {...(text === "" ? { c: "dimmed" } : {})} style={{ whiteSpace: "pre-wrap" }}>
                {text === "" ? texts.content.noNotes : text}
              </Text>
            )}
          </Loaded>
        </section>
        <Files place={place} snapshot={snapshot} mayRead={mayRead} />
        <CommandLine place={place} snapshot={snapshot} />
      </Stack>
    </Dialog>
  );
}

function Files({ place, snapshot, mayRead }: { place: Place; snapshot: Snapshot; mayRead: boolean }) {
  const get = useAct(({ file, form }: { file: string; form: Form }) => download(place, snapshot, file, form));
  const columns: readonly Column<File>[] = [
    { id: "file", title: words.file, value: (file) => file.filename },
    {
      id: "crypt",
      title: texts.content.encryption,
      phone: false,
      cell: (file) => (file["crypt-mode"] ? texts.content.crypts[file["crypt-mode"]] : null),
    },
    {
      id: "size",
      title: texts.common.size,
      align: "right",
      value: (file) => file.size,
      cell: (file) => bytes(file.size),
    },
    {
      id: "download",
      title: texts.common.download,
      cell: (file) => (
        <Row gap="xs">
          {(["decoded", "stored"] as const).map((form) => {
            const isEncrypted = form === "decoded" && file["crypt-mode"] === "encrypt";
            const label = form === "decoded" ? words.content : words.stored;
            return (
              <Button
                key={form}
                size="compact-xs"
                variant="default"
                aria-label={words.download(label, file.filename)}
                disabled={!mayRead || isEncrypted}
                {...(isEncrypted ? { title: words.encryptedHint } : {})}
                loading={get.isPending && get.variables.file === file.filename && get.variables.form === form}
                onClick={() => get.mutate({ file: file.filename, form })}
              >
                {label}
              </Button>
            );
          })}
        </Row>
      ),
    },
  ];
  return (
    <section>
      <Title order={3} size="h5" mb="xs">
        {words.files}
      </Title>
      <Table
        label={words.files}
        rows={snapshot.files}
        columns={columns}
        rowKey={(file) => file.filename}
        filter={false}
      />
      <Text size="xs" c="dimmed" mt="xs">
        {words.downloads}
      </Text>
    </section>
  );
}

function CommandLine({ place, snapshot }: { place: Place; snapshot: Snapshot }) {
  const repository = repositoryOf(useUser(), window.location, place.store);
  const command = restoreCommand(repository, place.ns, snapshot.name, snapshot.files);
  return (
    <section>
      <Title order={3} size="h5" mb="xs">
        {words.commandLine}
      </Title>
      <Facts
        rows={[
          [words.snapshot, <Copyable key="snapshot" value={snapshot.name} what={words.snapshot} />],
          [words.repository, <Copyable key="repository" value={repository} what={words.repository} />],
          [words.restore, command && <Copyable key="restore" value={command} what={words.restore} />],
        ]}
      />
    </section>
  );
}
