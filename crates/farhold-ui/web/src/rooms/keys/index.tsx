// The encryption keys of push and pull jobs.

import { Button } from "@mantine/core";
import { useState } from "react";
import { call, type Item } from "../../api/client";
import { useAct, useAnswer } from "../../api/hooks";
import { CALM_SECONDS, usePrivileges } from "../../api/server";
import { date } from "../../format/time";
import { Loaded } from "../../parts/failure";
import { Page } from "../../parts/page";
import { Table, type Column, type RowAction } from "../../parts/table";
import { texts } from "../../texts";
import { shortFingerprint } from "../remotes/address";
import { jobsWith, useSyncJobs, type SyncJob } from "../remotes/uses";
import { KeyDetails } from "./key-details";
import type { NewKey } from "./key-file";
import { KeyCreation, KeyImport } from "./key-forms";
import { KeyOnce } from "./key-once";
import { KeyRemoval } from "./key-removal";
import { KeyState } from "./key-state";

const words = texts.keys;

type Key = Item<"/config/encryption-keys">;

type Open =
  | { kind: "create" | "import" }
  | { kind: "details"; id: string }
  | { kind: "remove"; key: Key; digest: string | undefined };

export default function Keys() {
  const keys = useAnswer(
    "/config/encryption-keys",
    { params: { query: { "include-archived": true } } },
    { every: CALM_SECONDS },
  );
  const jobs = useSyncJobs({ every: CALM_SECONDS });
  const may = usePrivileges();
  const [open, setOpen] = useState<Open>();
  // Apart from what else is open: it must not go away when another dialog closes.
  const [made, setMade] = useState<{ id: string; key: NewKey }>();
  const close = () => setOpen(undefined);
  const digest = keys.data?.digest;
  const archive = useAct(
    async ({ id, archived }: { id: string; archived: boolean }) => {
      const body = { archived, ...(digest === undefined ? {} : { digest }) };
      await call("put", "/farhold/encryption-keys/{id}", { params: { path: { id } }, body });
      return { id, archived };
    },
    {
      refresh: ["/config/encryption-keys", "/farhold/encryption-keys/{id}"],
      done: ({ id, archived }) => (archived ? words.archived(id) : words.activated(id)),
    },
  );
  const actions = (key: Key): RowAction[] => {
    const isArchived = key["archived-at"] !== undefined;
    const isFixed = !may(`/system/encryption-keys/${key.id}`, "Sys.Modify");
    return [
      { label: texts.common.details, onClick: () => setOpen({ kind: "details", id: key.id }) },
      {
        label: isArchived ? words.activate : words.archive,
        onClick: () => archive.mutate({ id: key.id, archived: !isArchived }),
        disabled: isFixed,
      },
      {
        label: texts.common.remove,
        color: "red",
        onClick: () => setOpen({ kind: "remove", key, digest }),
        disabled: isFixed,
      },
    ];
  };
  const mayAdd = may("/system/encryption-keys", "Sys.Modify");
  return (
    <Page
      title={texts.shell.keys}
      actions={
        <>
          <Button variant="default" disabled={!mayAdd} onClick={() => setOpen({ kind: "import" })}>
            {words.import}
          </Button>
          <Button disabled={!mayAdd} onClick={() => setOpen({ kind: "create" })}>
            {words.create}
          </Button>
        </>
      }
    >
      <Loaded query={keys}>
        {({ data }) => (
          <Table
            label={texts.shell.keys}
            rows={data}
            columns={columns(jobs.data)}
            rowKey={(key) => key.id}
            onOpen={(key) => setOpen({ kind: "details", id: key.id })}
            actions={actions}
            sorting={{ column: "name", direction: "up" }}
            empty={may("/system/encryption-keys", "Sys.Audit") ? words.empty : words.unseen}
          />
        )}
      </Loaded>
      {open?.kind === "create" && <KeyCreation onMade={(id, key) => setMade({ id, key })} onClose={close} />}
      {open?.kind === "import" && <KeyImport onClose={close} />}
      {open?.kind === "details" && <KeyDetails id={open.id} onClose={close} />}
      {open?.kind === "remove" && (
        <KeyRemoval
          id={open.key.id}
          isArchived={open.key["archived-at"] !== undefined}
          jobs={usersOf(jobs.data, open.key.id)}
          digest={open.digest}
          onClose={close}
        />
      )}
      {made && <KeyOnce id={made.id} secret={made.key} onClose={() => setMade(undefined)} />}
    </Page>
  );
}

function columns(jobs: readonly SyncJob[] | undefined): Column<Key>[] {
  return [
    { id: "name", title: texts.common.name, value: (key) => key.id },
    {
      id: "state",
      title: texts.common.state,
      value: (key) => (key["archived-at"] === undefined ? words.state.active : words.state.archived),
      cell: (key) => <KeyState archivedAt={key["archived-at"]} />,
    },
    {
      id: "created",
      title: words.created,
      value: (key) => key.created,
      cell: (key) => date(key.created),
      phone: false,
    },
    {
      id: "fingerprint",
      title: words.fingerprint,
      value: (key) => key.fingerprint,
      cell: (key) => <span title={key.fingerprint}>{key.fingerprint && shortFingerprint(key.fingerprint)}</span>,
      phone: false,
    },
    {
      id: "jobs",
      title: words.usedBy,
      value: (key) => usersOf(jobs, key.id).length,
      cell: (key) => {
        const users = usersOf(jobs, key.id);
        return <span title={users.join(", ")}>{users.length === 0 ? words.unused : words.jobs(users.length)}</span>;
      },
    },
  ];
}

/** The jobs that a key is active in or belongs to. */
const usersOf = (jobs: readonly SyncJob[] | undefined, id: string): string[] =>
  jobsWith(jobs, (job) => job["active-encryption-key"] === id || (job["associated-key"] ?? []).includes(id));
