// One datastore, with everything that belongs to it in tabs.

import { Text } from "@mantine/core";
import { lazy, Suspense, type ComponentType, type LazyExoticComponent } from "react";
import { useParams } from "react-router";
import { useDatastores } from "../../api/server";
import { Page } from "../../parts/page";
import { Tabs } from "../../parts/tabs";
import { texts } from "../../texts";
import { NotMounted } from "./not-mounted";

type Tab = keyof typeof texts.datastores.tabs;

const TABS: Record<Tab, LazyExoticComponent<ComponentType<{ store: string }>>> = {
  summary: lazy(() => import("../summary")),
  content: lazy(() => import("../content")),
  sync: lazy(() => import("../sync")),
  prune: lazy(() => import("../prune")),
  verify: lazy(() => import("../verify")),
  options: lazy(() => import("../options")),
  permissions: lazy(() => import("../permissions")),
};

/** The tabs that show what lies on the device. */
const ON_DEVICE: readonly Tab[] = ["summary", "content"];

export default function Datastore() {
  const { store = "", tab } = useParams();
  const current: Tab = tab !== undefined && tab in TABS ? (tab as Tab) : "summary";
  const Content = TABS[current];
  const stores = useDatastores();
  const isAway = stores.data?.find((entry) => entry.store === store)?.["mount-status"] === "notmounted";
  const title = texts.datastores.title(store);
  return (
    <Page title={title}>
      <Tabs
        label={title}
        base={`/datastore/${store}`}
        current={current}
        tabs={(Object.keys(TABS) as Tab[]).map((id) => ({ id, label: texts.datastores.tabs[id] }))}
      >
        <Suspense fallback={<Text size="sm">{texts.common.loading}</Text>}>
          {isAway && ON_DEVICE.includes(current) ? <NotMounted store={store} /> : <Content key={store} store={store} />}
        </Suspense>
      </Tabs>
    </Page>
  );
}
