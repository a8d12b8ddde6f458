// How many backups a datastore holds, by type.

import { Anchor, Text } from "@mantine/core";
import type { UseQueryResult } from "@tanstack/react-query";
import { Link } from "react-router";
import type { ApiFailure } from "../../api/failure";
import { Panel } from "../../parts/page";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";
import { contentOf, type ContentRow } from "./content-rows";
import type { Status } from "./usage-panel";

const words = texts.summary;

const COLUMNS: readonly Column<ContentRow>[] = [
  { id: "type", title: words.type, cell: (row) => (row.type === "total" ? words.total : words.types[row.type]) },
  { id: "groups", title: words.groups, cell: (row) => row.groups, align: "right" },
  { id: "snapshots", title: words.snapshots, cell: (row) => row.snapshots, align: "right" },
];

interface ContentPanelProps {
  store: string;
  status: UseQueryResult<Status, ApiFailure>;
}

export function ContentPanel({ store, status }: ContentPanelProps) {
  if (!status.data) return null;
  const rows = contentOf(status.data.counts);
  return (
    <Panel
      title={words.content}
      actions={
        <Anchor component={Link} size="sm" to={`/datastore/${store}/content`}>
          {words.browse}
        </Anchor>
      }
    >
      <Text size="xs" c="dimmed" mb="xs">
        {words.contentHint}
      </Text>
      <Table
        label={words.snapshots}
        rows={rows}
        columns={COLUMNS}
        rowKey={(row) => row.type}
        isArranged
        empty={words.empty}
      />
    </Panel>
  );
}
