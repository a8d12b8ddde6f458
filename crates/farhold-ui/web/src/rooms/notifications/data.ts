// What the screens about notifications read.

import type { Item } from "../../api/client";
import { useRead } from "../../api/hooks";
import { CALM_SECONDS } from "../../api/server";

export type Target = Item<"/config/notifications/targets">;
export type Kind = Target["type"];
export type Matcher = Item<"/config/notifications/matchers">;

/** The kinds of targets, in the order in which they are offered. */
export const KINDS: readonly Kind[] = ["sendmail", "smtp", "gotify", "webhook"];

/** The path of the access control list that counts for all of this. */
export const PATH = "/system/notifications";

export const useTargets = () => useRead("/config/notifications/targets", undefined, { every: CALM_SECONDS });

export const useMatchers = () => useRead("/config/notifications/matchers", undefined, { every: CALM_SECONDS });
