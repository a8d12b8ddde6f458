// The frame of every screen: a title, what can be done, and panels.

import { Group, Paper, Title } from "@mantine/core";
import { useEffect, type ReactNode } from "react";
import { texts } from "../texts";
import styles from "./page.module.css";

interface PageProps {
  title: string;
  /** Buttons beside the title. */
  actions?: ReactNode;
  children: ReactNode;
}

/** A screen. Its title is also the document's. */
export function Page({ title, actions, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} – ${texts.common.product}`;
  }, [title]);
  return (
    <div className={styles.page}>
      <Group justify="space-between" gap="sm" mb="md">
        <Title order={1} size="h2">
          {title}
        </Title>
        {actions && <Group gap="xs">{actions}</Group>}
      </Group>
      {children}
    </div>
  );
}

interface PanelProps {
  title?: string;
  actions?: ReactNode;
  children: ReactNode;
}

/** A part of a screen with a border and a title of its own. */
export function Panel({ title, actions, children }: PanelProps) {
  return (
    <Paper component="section" withBorder p="md" mb="md" {...(title ? { "aria-label": title } : {})}>
      {(title || actions) && (
        <Group justify="space-between" gap="sm" mb="sm">
          {title && (
            <Title order={2} size="h4">
              {title}
            </Title>
          )}
          {actions && <Group gap="xs">{actions}</Group>}
        </Group>
      )}
      {children}
    </Paper>
  );
}

/** Panels beside each other where there is room. */
export function Columns({ children }: { children: ReactNode }) {
  return <div className={styles.columns}>{children}</div>;
}
