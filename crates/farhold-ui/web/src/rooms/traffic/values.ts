// What the form of a traffic rule holds, and what calls of the API it makes of it.

import { changesOf, withoutEmpty } from "../../api/changes";
import type { Item } from "../../api/client";
import { isRate } from "../../parts/fields/rate";
import { texts } from "../../texts";

export type Rule = Item<"/admin/traffic-control">;

export type RuleValues = {
  name: string;
  network: string[];
  "rate-in": string;
  "burst-in": string;
  "rate-out": string;
  "burst-out": string;
  users: string[];
  timeframe: string[];
  comment: string;
};

const AMOUNTS = ["rate-in", "burst-in", "rate-out", "burst-out"] as const;

/** Every address: what a new rule starts with. */
const EVERYWHERE = ["0.0.0.0/0", "::/0"];

/** Returns what the form starts with. */
export function valuesOf(rule: Rule | undefined): RuleValues {
  return {
    name: rule?.name ?? "",
    network: rule?.network ?? EVERYWHERE,
    "rate-in": rule?.["rate-in"] ?? "",
    "burst-in": rule?.["burst-in"] ?? "",
    "rate-out": rule?.["rate-out"] ?? "",
    "burst-out": rule?.["burst-out"] ?? "",
    users: rule?.users ?? [],
    timeframe: rule?.timeframe ?? [],
    comment: rule?.comment ?? "",
  };
}

/** Returns fields that are wrong before the server is asked. */
export function faultsOf(values: RuleValues): Partial<Record<keyof RuleValues, string>> {
  const faults: Partial<Record<keyof RuleValues, string>> = {};
  if (values.name.trim() === "") faults.name = texts.common.required;
  if (values.network.length === 0) faults.network = texts.common.required;
  for (const name of AMOUNTS) {
    if (!isRate(values[name])) faults[name] = texts.traffic.rateWrong;
  }
  return faults;
}

interface Optional {
  "rate-in": string;
  "burst-in": string;
  "rate-out": string;
  "burst-out": string;
  users: string[];
  timeframe: string[];
  comment: string;
}

const optional = (values: RuleValues): Optional => ({
  "rate-in": values["rate-in"].trim(),
  "burst-in": values["burst-in"].trim(),
  "rate-out": values["rate-out"].trim(),
  "burst-out": values["burst-out"].trim(),
  users: values.users,
  timeframe: values.timeframe,
  comment: values.comment.trim(),
});

/** Returns the body that creates the rule. */
export const creationOf = (values: RuleValues) => ({
  name: values.name.trim(),
  network: values.network,
  ...withoutEmpty(optional(values)),
});

/** Returns the body that changes what differs from the stored rule. */
export function changeOf(stored: Rule, values: RuleValues) {
  const isSame = JSON.stringify(stored.network) === JSON.stringify(values.network);
  const before: Partial<Optional> = stored;
  return { ...(isSame ? {} : { network: values.network }), ...changesOf<Optional>(before, optional(values)) };
}
