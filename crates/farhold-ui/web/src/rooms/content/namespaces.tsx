// The namespaces of the datastore: a tree beside the backups, a list to choose from on a phone.

import { ActionIcon, Button, Menu, Select, Text, UnstyledButton } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { useMemo, useState } from "react";
import { MenuItems, type RowAction } from "../../parts/table";
import { texts } from "../../texts";
import styles from "./content.module.css";
import { closedAtFirst, inSight, linesOf, type NamespaceLine } from "./namespace-tree";

const words = texts.content.namespaces;

interface NamespacesProps {
  names: readonly string[];
  current: string;
  onChoose: (ns: string) => void;
  /** What can be done with the current namespace. */
  actions: readonly RowAction[];
}

export const nameOf = (ns: string): string => (ns === "" ? words.root : ns);

export function Namespaces({ names, current, onChoose, actions }: NamespacesProps) {
  const lines = useMemo(() => linesOf(names), [names]);
  const isWide = useMediaQuery("(min-width: 75em)", true, { getInitialValueInEffect: false });
  const menu = <NamespaceMenu current={current} actions={actions} />;
  if (!isWide) {
    return (
      <div className={styles.chooser}>
        <Select
          label={texts.common.namespace}
          // An option cannot have an empty value, and no namespace has this name.
          data={lines.map(({ ns }) => ({ value: `/${ns}`, label: nameOf(ns) }))}
          value={`/${current}`}
          onChange={(value) => value !== null && onChoose(value.slice(1))}
          allowDeselect={false}
          searchable={lines.length > 8}
          style={{ flex: 1 }}
        />
        {menu}
      </div>
    );
  }
  return (
    <nav aria-label={words.title} className={styles.namespaces}>
      <div className={styles.namespacesTitle}>
        <Text fw={600} size="sm">
          {words.title}
        </Text>
        {menu}
      </div>
      <Tree lines={lines} current={current} onChoose={onChoose} />
    </nav>
  );
}

function NamespaceMenu({ current, actions }: { current: string; actions: readonly RowAction[] }) {
  return (
    <Menu position="bottom-end" withinPortal>
      <Menu.Target>
        <Button size="compact-sm" variant="default" aria-label={words.actionsFor(nameOf(current))}>
          {texts.common.actions}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <MenuItems actions={actions} />
      </Menu.Dropdown>
    </Menu>
  );
}

interface TreeProps {
  lines: readonly NamespaceLine[];
  current: string;
  onChoose: (ns: string) => void;
}

function Tree({ lines, current, onChoose }: TreeProps) {
  // Until something was opened or closed here, that follows from what is looked at.
  const [chosen, setChosen] = useState<ReadonlySet<string>>();
  const closed = chosen ?? closedAtFirst(lines, current);
  const toggle = (ns: string) => {
    const next = new Set(closed);
    if (!next.delete(ns)) next.add(ns);
    setChosen(next);
  };
  return (
    <ul className={styles.tree}>
      {inSight(lines, closed).map(({ ns, name, depth, hasChildren }) => {
        const isOpen = !closed.has(ns);
        return (
          <li key={ns} className={styles.line} style={{ paddingInlineStart: `${depth * 0.9}rem` }}>
            {hasChildren && ns !== "" ? (
              <ActionIcon
                size="sm"
                variant="subtle"
                color="gray"
                aria-expanded={isOpen}
                aria-label={isOpen ? words.close(ns) : words.open(ns)}
                onClick={() => toggle(ns)}
              >
                <span aria-hidden>{isOpen ? "▾" : "▸"}</span>
              </ActionIcon>
            ) : (
              <span className={styles.gap} />
            )}
            <UnstyledButton
              className={styles.namespace}
              data-current={ns === current || undefined}
              {...(ns === current ? { "aria-current": "true" as const } : {})}
              title={ns}
              onClick={() => onChoose(ns)}
            >
              {name === "" ? words.root : name}
            </UnstyledButton>
          </li>
        );
      })}
    </ul>
  );
}
