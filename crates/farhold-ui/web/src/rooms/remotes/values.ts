// What the form of a remote holds, and what calls of the API it makes of it.

import { changesOf, withoutEmpty } from "../../api/changes";
import type { Item } from "../../api/client";
import { texts } from "../../texts";
import { addressOf, fingerprintOf, isFingerprint } from "./address";

export type Remote = Item<"/config/remote">;

export type RemoteValues = {
  name: string;
  host: string;
  port: number | string;
  "auth-id": string;
  password: string;
  fingerprint: string;
  comment: string;
  "use-node-proxy": boolean;
};

/** Returns what the form starts with. */
export function valuesOf(remote: Remote | undefined): RemoteValues {
  return {
    name: remote?.name ?? "",
    host: remote?.host ?? "",
    port: remote?.port ?? "",
    "auth-id": remote?.["auth-id"] ?? "",
    password: "",
    fingerprint: remote?.fingerprint ?? "",
    comment: remote?.comment ?? "",
    "use-node-proxy": remote?.["use-node-proxy"] ?? false,
  };
}

/** Returns fields that are wrong before the server is asked. */
export function faultsOf(values: RemoteValues, isNew: boolean): Partial<Record<keyof RemoteValues, string>> {
  const needed: (keyof RemoteValues)[] = isNew ? ["name", "host", "auth-id", "password"] : ["host", "auth-id"];
  const faults: Partial<Record<keyof RemoteValues, string>> = {};
  for (const name of needed) {
    if (String(values[name]).trim() === "") faults[name] = texts.common.required;
  }
  if (values.fingerprint.trim() !== "" && !isFingerprint(values.fingerprint))
    faults.fingerprint = texts.remotes.fingerprintWrong;
  return faults;
}

const required = (values: RemoteValues) => ({
  host: addressOf(values.host).host,
  "auth-id": values["auth-id"].trim(),
});

interface Optional {
  port: number | undefined;
  fingerprint: string;
  comment: string;
  "use-node-proxy": boolean;
}

function optional(values: RemoteValues): Optional {
  const port = values.port === "" ? addressOf(values.host).port : Number(values.port);
  return {
    port,
    fingerprint: fingerprintOf(values.fingerprint),
    comment: values.comment.trim(),
    "use-node-proxy": values["use-node-proxy"],
  };
}

/** Returns the body that creates the remote. */
export function creationOf(values: RemoteValues) {
  const { "use-node-proxy": proxy, ...rest } = optional(values);
  return {
    name: values.name.trim(),
    ...required(values),
    password: values.password,
    ...withoutEmpty(rest),
    ...(proxy ? { "use-node-proxy": true } : {}),
  };
}

/** Returns the body that changes what differs from the stored remote. */
export function changeOf(stored: Remote, values: RemoteValues) {
  const { host, "auth-id": authId } = required(values);
  const now = optional(values);
  const before: Partial<Optional> = { ...stored };
  return {
    ...(host === stored.host ? {} : { host }),
    ...(authId === stored["auth-id"] ? {} : { "auth-id": authId }),
    ...changesOf<Optional>(before, now),
    ...(values.password === "" ? {} : { password: values.password }),
  };
}

/**
 * Returns the body that probes what the form holds: the stored remote by its name if nothing about the connection
 * differs, otherwise its description. `undefined` if that needs a password that was not typed.
 */
export function probeOf(stored: Remote | undefined, values: RemoteValues) {
  if (stored && values.password === "") {
    const { comment: _comment, ...change } = changeOf(stored, { ...values, comment: stored.comment ?? "" });
    if (Object.keys(change).length === 0) return { remote: stored.name };
  }
  if (values.password === "") return undefined;
  const { name: _name, comment: _comment, ...description } = creationOf(values);
  return description;
}
