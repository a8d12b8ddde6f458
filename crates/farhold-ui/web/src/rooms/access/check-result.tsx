// What the server says of who may do what where, with the permissions that decide it.

import { Stack, Text, Title } from "@mantine/core";
import { useState } from "react";
import type { Item } from "../../api/client";
import { Dialog } from "../../parts/dialog";
import { Facts } from "../../parts/facts";
import { State, type Tone } from "../../parts/state";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";
import { sayPrivileges } from "./privileges";

type Found = Item<"/farhold/access/check">;
type FoundEntry = Found["entries"][number];

const words = texts.access;

const verdictWords = (found: Found): string | undefined =>
  found.allowed === undefined
    ? found.active
      ? undefined
      : words.check.inactive
    : found.allowed
      ? words.check.allowed
      : words.check.denied;

const COLUMNS: Column<Found>[] = [
  { id: "who", title: words.whoColumn, value: (found) => found["auth-id"] },
  { id: "path", title: words.path, value: (found) => found.path },
  {
    id: "allowed",
    title: texts.common.state,
    value: verdictWords,
    cell: (found) => <Verdict found={found} />,
    width: "11rem",
  },
  {
    id: "reason",
    title: words.check.reason,
    value: (found) => found.reason ?? (sayPrivileges(found.privileges) || words.check.noPrivileges),
    width: "45%",
    phone: false,
  },
];

export function CheckResult({ found }: { found: readonly Found[] }) {
  const [open, setOpen] = useState<Found>();
  return (
    <>
      <Table
        label={words.check.results}
        rows={found}
        columns={COLUMNS}
        rowKey={(one) => `${one["auth-id"]} ${one.path}`}
        empty={words.check.nobody}
        onOpen={setOpen}
        actions={(one) => [{ label: texts.common.details, onClick: () => setOpen(one) }]}
        rowName={(one) => words.check.detailsOf(one["auth-id"], one.path)}
      />
      {open && <Details found={open} onClose={() => setOpen(undefined)} />}
    </>
  );
}

function Verdict({ found }: { found: Found }) {
  const text = verdictWords(found);
  if (!text) return null;
  return <State tone={found.allowed ? "good" : found.active ? "bad" : "warning"}>{text}</State>;
}

const VERDICT_TONES: Record<FoundEntry["verdict"], Tone> = {
  grants: "good",
  denies: "bad",
  "stays-above": "quiet",
  replaced: "quiet",
};

const ENTRY_COLUMNS: Column<FoundEntry>[] = [
  { id: "path", title: words.path, value: (entry) => entry.path },
  { id: "who", title: words.whoColumn, value: (entry) => entry["auth-id"] },
  { id: "role", title: words.role, value: (entry) => entry.role },
  {
    id: "verdict",
    title: words.check.verdict,
    value: (entry) => entry.verdict,
    cell: (entry) => (
      <>
        <State tone={VERDICT_TONES[entry.verdict]}>{words.check.verdicts[entry.verdict]}</State>
        {entry["replaced-by"] && <Text size="xs">{words.check.replacedBy(entry["replaced-by"])}</Text>}
      </>
    ),
  },
];

function Details({ found, onClose }: { found: Found; onClose: () => void }) {
  return (
    <Dialog title={words.check.detailsOf(found["auth-id"], found.path)} onClose={onClose} size="xl">
      <Stack gap="sm">
        <Facts
          rows={[
            [texts.common.state, verdictWords(found) && <Verdict found={found} />],
            [words.check.reason, found.reason],
            [words.check.privileges, sayPrivileges(found.privileges) || words.check.noPrivileges],
          ]}
        />
        <Title order={3} size="h5">
          {words.check.entries}
        </Title>
        <Table
          label={words.check.entries}
          rows={found.entries}
          columns={ENTRY_COLUMNS}
          rowKey={(entry) => entry.line}
          empty={words.check.noEntries}
          isArranged
        />
        {found["auth-id"].includes("!") && (
          <Text size="sm" c="dimmed">
            {words.check.tokenNote}
          </Text>
        )}
      </Stack>
    </Dialog>
  );
}
