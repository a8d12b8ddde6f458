// The groups of the source, and which of them the filters take, while they are being written.

import { Group, Select, Stack, Text } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { call } from "../../../api/client";
import type { ApiFailure } from "../../../api/failure";
import { dateTime } from "../../../format/time";
import { Failure } from "../../../parts/failure";
import { State } from "../../../parts/state";
import { Table, type Column } from "../../../parts/table";
import { texts } from "../../../texts";
import { isComplete } from "./group-filter";
import { useGroupsOf, useNamespacesOf, type Side } from "./sides";

const words = texts.syncEditor;

/** Milliseconds without a key before the server is asked: quick to the eye, and not once per letter. */
const PAUSE = 300;

interface Line {
  name: string;
  isTaken: boolean | undefined;
  count: number;
  last: number;
  owner: string;
}

const COLUMNS: readonly Column<Line>[] = [
  { id: "group", title: words.columns.group, value: ({ name }) => name },
  {
    id: "takes",
    title: words.columns.takes,
    width: "9rem",
    value: ({ isTaken }) => (isTaken ? words.takes : words.left),
    cell: ({ isTaken }) =>
      isTaken === undefined ? (
        "–"
      ) : (
        <State tone={isTaken ? "good" : "quiet"}>{isTaken ? words.takes : words.left}</State>
      ),
  },
  { id: "count", title: words.columns.count, align: "right", value: ({ count }) => count, phone: false },
  {
    id: "last",
    title: words.columns.last,
    value: ({ last }) => last,
    cell: ({ last }) => (last ? dateTime(last) : "–"),
    phone: false,
  },
  { id: "owner", title: words.columns.owner, value: ({ owner }) => owner, phone: false },
];

export function GroupMatches({ source, filters }: { source: Side; filters: readonly string[] }) {
  const [chosen, setChosen] = useState<string>();
  const namespaces = useNamespacesOf(source);
  const inScope = namespacesBelow(namespaces.data?.map(({ ns }) => ns) ?? [], source.ns);
  const ns = chosen !== undefined && inScope.includes(chosen) ? chosen : source.ns;
  const groups = useGroupsOf(source, ns);
  const names = useMemo(
    () => groups.data?.map((group) => `${group["backup-type"]}/${group["backup-id"]}`) ?? [],
    [groups.data],
  );
  const [asked] = useDebouncedValue(filters.filter(isComplete), PAUSE);
  const matches = useMatches(asked, names);
  const lines = useMemo(
    () =>
      groups.data?.map((group, index): Line => ({
        name: names[index] ?? "",
        isTaken: matches.data?.matches[index],
        count: group["backup-count"],
        last: group["last-backup"],
        owner: group.owner ?? "",
      })),
    [groups.data, names, matches.data],
  );
  return (
    <Stack gap="xs">
      <Group justify="space-between" gap="xs">
        <Text size="sm" fw={600}>
          {words.matches}
        </Text>
        {inScope.length > 1 && (
          <Select
            size="xs"
            w="16rem"
            searchable
            allowDeselect={false}
            aria-label={words.matchesIn}
            data={inScope.map((value) => ({ value, label: value || texts.common.rootNamespace }))}
            value={ns}
            onChange={(value) => setChosen(value ?? source.ns)}
          />
        )}
      </Group>
      <Failure error={groups.error} retry={() => void groups.refetch()} />
      {matches.error && (
        <Text size="sm" c="var(--mantine-color-error)" role="status">
          {matches.error.fields["group-filter"] ?? matches.error.message}
        </Text>
      )}
      {lines ? (
        <>
          <Text size="sm" role="status">
            {matches.data && words.matchesCount(matches.data.count, lines.length)}
          </Text>
          <Table
            label={words.matches}
            rows={lines}
            columns={COLUMNS}
            rowKey={({ name }) => name}
            maxHeight="15rem"
            empty={texts.common.nothing}
          />
        </>
      ) : (
        <Text size="sm" c="dimmed">
          {groups.isFetching ? texts.common.loading : !groups.error && words.matchesNoSource}
        </Text>
      )}
    </Stack>
  );
}

/** Returns the namespace that a job starts from and all below it. */
function namespacesBelow(all: readonly string[], anchor: string): string[] {
  const below = anchor === "" ? all : all.filter((ns) => ns === anchor || ns.startsWith(`${anchor}/`));
  return below.includes(anchor) ? [...below] : [anchor, ...below];
}

/** Asks the server, whose expressions they are, which groups the filters take. */
function useMatches(filters: readonly string[], groups: readonly string[]) {
  return useQuery<{ matches: boolean[]; count: number }, ApiFailure>({
    queryKey: ["/farhold/group-filter", filters, groups],
    queryFn: async ({ signal }) =>
      (
        await call("post", "/farhold/group-filter", {
          body: { "group-filter": [...filters], groups: [...groups] },
          signal,
        })
      ).data,
    enabled: groups.length > 0,
    placeholderData: (before) => (before?.matches.length === groups.length ? before : undefined),
  });
}
