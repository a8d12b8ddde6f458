// The configuration of one datastore: reading it, and writing what was changed.

import { changesOf } from "../../api/changes";
import { call, type Answer, type Data, type Init } from "../../api/client";

export type Config = Data<"get", "/config/datastore/{name}">;
export type ConfigAnswer = Answer<"get", "/config/datastore/{name}">;

/** What is out of date after the configuration of a datastore has changed. */
export const AFTER_CHANGE = [
  "/config/datastore",
  "/config/datastore/{name}",
  "/admin/datastore",
  "/status/datastore-usage",
  // Some changes are the work of a task; the bar that shows it has all looked at again when it ends.
  "/nodes/{node}/tasks",
] as const;

/** Writes the fields that differ from `before`; refused if somebody else changed the configuration meanwhile. */
export async function writeConfig<Part extends Partial<Config>>(
  { data, digest }: ConfigAnswer,
  before: Part,
  after: Part,
): Promise<void> {
  const changes = changesOf<Part>(before, after);
  if (Object.keys(changes).length === 0) return;
  await call("put", "/config/datastore/{name}", {
    params: { path: { name: data.name } },
    body: { ...changes, digest } as Init<"put", "/config/datastore/{name}">["body"],
  });
}
