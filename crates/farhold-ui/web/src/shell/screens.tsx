// Which screen stands at which address. Screens are loaded when they are first looked at.

import { lazy, type ComponentType, type LazyExoticComponent } from "react";

type Screen = LazyExoticComponent<ComponentType>;

export const SCREENS: readonly { path: string; Screen: Screen }[] = [
  { path: "/", Screen: lazy(() => import("../rooms/dashboard")) },
  { path: "/config/remotes", Screen: lazy(() => import("../rooms/remotes")) },
  { path: "/config/access/:tab?", Screen: lazy(() => import("../rooms/access")) },
  { path: "/config/keys", Screen: lazy(() => import("../rooms/keys")) },
  { path: "/config/traffic", Screen: lazy(() => import("../rooms/traffic")) },
  { path: "/config/notifications", Screen: lazy(() => import("../rooms/notifications")) },
  { path: "/config/certificate", Screen: lazy(() => import("../rooms/certificate")) },
  { path: "/datastores", Screen: lazy(() => import("../rooms/datastores")) },
  { path: "/datastore/:store/:tab?", Screen: lazy(() => import("../rooms/datastore")) },
  { path: "/jobs/:tab?", Screen: lazy(() => import("../rooms/jobs")) },
  { path: "/tasks", Screen: lazy(() => import("../rooms/tasks")) },
];
