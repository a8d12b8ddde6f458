// What tasks are called, and what they work on.

import { parseUpid } from "../../format/upid";
import { texts } from "../../texts";

/** Returns the name of a kind of task; one that is not known keeps its own. */
export function kindName(type: string): string {
  return texts.tasks.kinds[type] ?? type;
}

/** Returns what a task is and works on, such as `Sync job offsite:tank:copies::nightly`. */
export function taskName(upid: string): string {
  const parts = parseUpid(upid);
  if (!parts) return upid;
  return parts.id ? `${kindName(parts.type)} ${parts.id}` : kindName(parts.type);
}
