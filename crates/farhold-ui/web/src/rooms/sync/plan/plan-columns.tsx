// The columns of a plan.

import { Text } from "@mantine/core";
import { bytes } from "../../../format/bytes";
import { State, type Tone } from "../../../parts/state";
import type { Column } from "../../../parts/table";
import { texts } from "../../../texts";
import styles from "./plan.module.css";
import type { Act, Node } from "./plan-tree";

const words = texts.syncPlan;

const TONE: Record<Act, Tone> = {
  transfer: "running",
  refetch: "running",
  compare: "quiet",
  skip: "quiet",
  remove: "bad",
  keep: "warning",
  fail: "bad",
  note: "warning",
  take: "quiet",
};

/** Returns the columns. `toggle` opens or closes a namespace or group by its key. */
export function planColumns(open: ReadonlySet<string>, toggle: (key: string) => void): Column<Node>[] {
  return [
    {
      id: "what",
      title: words.columns.what,
      width: "42%",
      cell: (node) => <Name node={node} isOpen={open.has(node.key)} toggle={() => toggle(node.key)} />,
    },
    {
      id: "act",
      title: words.columns.action,
      width: "11rem",
      cell: (node) =>
        node.act === "take" ? (
          <Text size="xs" component="span">
            {countsOf(node)}
          </Text>
        ) : (
          <State tone={TONE[node.act]}>{words.action[node.act]}</State>
        ),
    },
    {
      id: "size",
      title: words.columns.size,
      width: "7rem",
      align: "right",
      phone: false,
      cell: ({ size, counts }) => (size !== undefined ? bytes(size) : counts.bytes > 0 ? bytes(counts.bytes) : ""),
    },
    {
      id: "why",
      title: words.columns.why,
      phone: false,
      cell: ({ why }) => (
        <Text size="xs" component="span">
          {why}
        </Text>
      ),
    },
  ];
}

function Name({ node, isOpen, toggle }: { node: Node; isOpen: boolean; toggle: () => void }) {
  return (
    <span className={styles.name} data-level={node.level}>
      {node.children.length > 0 ? (
        <button type="button" tabIndex={-1} className={styles.toggle} onClick={toggle}>
          <span aria-hidden>{isOpen ? "▾" : "▸"}</span> {node.label}
        </button>
      ) : (
        <span className={styles.leaf}>{node.label}</span>
      )}
      {node.why && <span className={styles.why}>{node.why}</span>}
    </span>
  );
}

function countsOf({ counts }: Node): string {
  const parts = (["fetch", "remove", "compare", "skip", "keep"] as const)
    .filter((name) => counts[name] > 0)
    .map((name) => words.counts[name](counts[name]));
  return parts.join(", ");
}
