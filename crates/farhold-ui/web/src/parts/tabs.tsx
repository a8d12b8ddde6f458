// Tabs that stand in the address, so that each can be linked to.

import { Tabs as MantineTabs } from "@mantine/core";
import type { ReactNode } from "react";
import { useNavigate, useSearchParams } from "react-router";
import styles from "./page.module.css";

interface TabsProps {
  label: string;
  /** Address of the screen, without the tab. */
  base: string;
  current: string;
  tabs: readonly { id: string; label: string }[];
  /** The content of the current tab. */
  children: ReactNode;
}

export function Tabs({ label, base, current, tabs, children }: TabsProps) {
  const navigate = useNavigate();
  const [search] = useSearchParams();
  const task = search.get("task");
  return (
    <MantineTabs
      value={current}
      onChange={(tab) => void navigate(`${base}/${tab}${task ? `?task=${encodeURIComponent(task)}` : ""}`)}
      keepMounted={false}
      activateTabWithKeyboard={false}
    >
      <MantineTabs.List aria-label={label} mb="md" className={styles.tabs ?? ""}>
        {tabs.map((tab) => (
          <MantineTabs.Tab key={tab.id} value={tab.id}>
            {tab.label}
          </MantineTabs.Tab>
        ))}
      </MantineTabs.List>
      {tabs.map((tab) => (
        <MantineTabs.Panel key={tab.id} value={tab.id}>
          {tab.id === current ? children : null}
        </MantineTabs.Panel>
      ))}
    </MantineTabs>
  );
}
