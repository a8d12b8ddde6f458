// What the editor of a sync job holds, and what of it goes to the server.

import { withoutEmpty } from "../../../api/changes";
import type { Data } from "../../../api/client";
import { texts } from "../../../texts";
import { jobOptionsOf, jobOptionValues, type JobOptionValues } from "../../upkeep/job-option-values";
import type { Changes } from "../../upkeep/job-save";
import { kindOf, type Kind } from "../job-row";

export type Stored = Data<"get", "/config/sync/{id}">;
export type StoredOptions = Data<"get", "/farhold/job-options/{type}/{id}">;
/** A job as calls have it; what is absent is not set. */
export type Body = Stored;
export type OwnOptions = Omit<StoredOptions, "id" | "type">;

/** Values of the form. Numbers are texts, so that a field can be empty. */
export interface SyncValues extends JobOptionValues, Record<string, unknown> {
  id: string;
  kind: Kind;
  store: string;
  ns: string;
  remote: string;
  "remote-store": string;
  "remote-ns": string;
  owner: string;
  "max-depth": string;
  "group-filter": string[];
  "transfer-last": string;
  "worker-threads": string;
  "remove-vanished": boolean;
  "encrypted-only": boolean;
  "verified-only": boolean;
  "resync-corrupt": boolean;
  "run-on-mount": boolean;
  "unmount-on-done": boolean;
  "rate-in": string;
  "burst-in": string;
  "rate-out": string;
  "burst-out": string;
  "active-encryption-key": string;
  "associated-key": string[];
  schedule: string;
  comment: string;
  "verify-after": boolean;
  "traffic-control": boolean;
}

const textOf = (value: number | undefined): string => (value === undefined ? "" : String(value));
const numberOf = (text: string): number | undefined => (text.trim() === "" ? undefined : Number(text));
// What is off is not written: that is the default of each, and keeps the configuration short.
const flagOf = (isOn: boolean): true | undefined => (isOn ? true : undefined);

/** Returns the values of a stored job, or those of a new one. */
export function valuesOf(job: Partial<Stored>, options: Partial<StoredOptions> = {}): SyncValues {
  return {
    ...jobOptionValues(options),
    id: job.id ?? "",
    kind: job["remote-store"] === undefined ? "pull" : kindOf(job),
    store: job.store ?? "",
    ns: job.ns ?? "",
    remote: job.remote ?? "",
    "remote-store": job["remote-store"] ?? "",
    "remote-ns": job["remote-ns"] ?? "",
    owner: job.owner ?? "",
    "max-depth": textOf(job["max-depth"]),
    "group-filter": job["group-filter"] ?? [],
    "transfer-last": textOf(job["transfer-last"]),
    "worker-threads": textOf(job["worker-threads"]),
    "remove-vanished": job["remove-vanished"] ?? false,
    "encrypted-only": job["encrypted-only"] ?? false,
    "verified-only": job["verified-only"] ?? false,
    "resync-corrupt": job["resync-corrupt"] ?? false,
    "run-on-mount": job["run-on-mount"] ?? false,
    "unmount-on-done": job["unmount-on-done"] ?? false,
    "rate-in": job["rate-in"] ?? "",
    "burst-in": job["burst-in"] ?? "",
    "rate-out": job["rate-out"] ?? "",
    "burst-out": job["burst-out"] ?? "",
    "active-encryption-key": job["active-encryption-key"] ?? "",
    "associated-key": job["associated-key"] ?? [],
    schedule: job.schedule ?? "",
    comment: job.comment ?? "",
    "verify-after": options["verify-after"] ?? false,
    "traffic-control": options["traffic-control"] ?? false,
  };
}

/** Returns the job that the values make. What its kind cannot have is left out, whatever a hidden field holds. */
export function bodyOf(values: SyncValues): Body {
  const { kind } = values;
  const isPush = kind === "push";
  const hasRemote = kind !== "local";
  const body: { [Name in keyof Required<Body>]: Body[Name] | undefined } = {
    id: values.id.trim(),
    "sync-direction": isPush ? "push" : undefined,
    store: values.store,
    ns: values.ns.trim(),
    remote: hasRemote ? values.remote : undefined,
    "remote-store": values["remote-store"].trim(),
    "remote-ns": values["remote-ns"].trim(),
    owner: values.owner.trim(),
    "max-depth": numberOf(values["max-depth"]),
    "group-filter": values["group-filter"],
    "transfer-last": numberOf(values["transfer-last"]),
    "worker-threads": numberOf(values["worker-threads"]),
    "remove-vanished": flagOf(values["remove-vanished"]),
    "encrypted-only": flagOf(values["encrypted-only"]),
    "verified-only": flagOf(values["verified-only"]),
    "resync-corrupt": isPush ? undefined : flagOf(values["resync-corrupt"]),
    "run-on-mount": flagOf(values["run-on-mount"]),
    "unmount-on-done": values["run-on-mount"] ? flagOf(values["unmount-on-done"]) : undefined,
    "rate-in": values["rate-in"].trim(),
    "burst-in": values["burst-in"].trim(),
    "rate-out": values["rate-out"].trim(),
    "burst-out": values["burst-out"].trim(),
    "active-encryption-key": isPush ? values["active-encryption-key"] : undefined,
    "associated-key": values["associated-key"],
    schedule: values.schedule.trim(),
    comment: values.comment.trim(),
  };
  return body as Body;
}

/** Returns a stored job in the form that {@link bodyOf} gives it, so that only real differences are changes. */
export const normalised = (job: Stored): Body => bodyOf(valuesOf(job));

/** Returns the options of the job that only Farhold has. */
export function optionsOf(values: SyncValues): OwnOptions {
  return {
    ...jobOptionsOf(values),
    ...(values.kind !== "push" && values["verify-after"] ? { "verify-after": true } : { "verify-after": undefined }),
    ...(values.kind !== "local" && values["traffic-control"]
      ? { "traffic-control": true }
      : { "traffic-control": undefined }),
  } as OwnOptions;
}

/** Returns the parameters of a dry run. A job that is stored is named: its earlier runs count. */
export function draftOf(values: SyncValues, storedId: string | undefined): Partial<Body> {
  const { id: _, ...rest } = bodyOf(values);
  return { ...withoutEmpty(rest), ...(storedId === undefined ? {} : { id: storedId }) };
}

/**
 * Returns changes in which a former active key stays with the job. The server keeps it by itself, except where the list
 * of associated keys is set in the same call; without it what it encrypted could no longer be compared or read.
 */
export function withFormerKey(stored: Body, changes: Changes<Body>): Changes<Body> {
  const former = stored["active-encryption-key"];
  const isGone = changes.delete?.includes("active-encryption-key") ?? false;
  const given = changes["associated-key"];
  if (!former || !isGone || !given || given.includes(former)) return changes;
  return { ...changes, "associated-key": [...given, former] };
}

/** Returns what is wrong before the server is asked, by field. */
export function wrongOf(values: SyncValues): Partial<Record<keyof SyncValues & string, string>> {
  const wrong: Record<string, string> = {};
  const required: (keyof SyncValues & string)[] = ["id", "store", "remote-store"];
  if (values.kind !== "local") required.push("remote");
  for (const name of required) {
    if (String(values[name]).trim() === "") wrong[name] = texts.common.required;
  }
  if (values.kind === "local" && values.store !== "" && values.store === values["remote-store"]) {
    wrong["remote-store"] = texts.syncEditor.sameStore;
  }
  values["group-filter"].forEach((filter, index) => {
    if (filter.endsWith(":")) wrong[`group-filter.${index}`] = texts.common.required;
  });
  return wrong;
}
