// What the editors of all kinds of targets are given.

import { usePrivileges } from "../../api/server";
import { texts } from "../../texts";
import { PATH, type Kind } from "./data";

const words = texts.notifications;

export interface TargetProps {
  /** Whose target is edited; a new one if absent. */
  name?: string;
  onClose: () => void;
}

/** Returns what forms are told of users who may only look. */
export function useReadOnly(): { isReadOnly: boolean } {
  return { isReadOnly: !usePrivileges()(PATH, "Sys.Modify") };
}

export interface StoredProps<Stored> {
  /** What is changed; a new target if absent. */
  stored?: Stored;
  /** State of the configuration in which it was read. */
  digest?: string | undefined;
  onClose: () => void;
}

/** Returns what stands over the form of a target, or of a new one. */
export function dialogTitle(kind: Kind, name?: string): string {
  return name === undefined ? words.newTarget(words.kinds[kind]) : words.editTarget(name);
}
