// Writing a job: what stands in the configuration, then the options beside it. Either can be refused on its own, so a
// second attempt goes on where the first one stopped.

import { changesOf, withoutEmpty } from "../../api/changes";
import type { Data } from "../../api/client";

export type JobKind = "sync" | "prune" | "verify" | "gc";

/** Options that jobs have beside the configuration; absent ones are not set. */
export type JobOptions = Omit<Data<"get", "/farhold/job-options/{type}/{id}">, "id" | "type">;

export type Changes<Body extends object> = Partial<Body> & { delete?: (keyof Body & string)[] };

export interface JobCalls<Body extends object> {
  create: (body: Partial<Body>) => Promise<unknown>;
  /** `digest` is absent if the configuration was just written from here. */
  update: (id: string, changes: Changes<Body>, digest: string | undefined) => Promise<unknown>;
  options: (id: string, changes: Changes<JobOptions>) => Promise<unknown>;
}

interface Start<Body> {
  /** What is stored; absent for a job that is to be created. */
  stored?: Body;
  digest?: string;
  options?: JobOptions;
}

/** Returns what writes a job; it remembers what was written. */
export function jobSaver<Body extends { id: string }>(calls: JobCalls<Body>, start: Start<Body>) {
  let { stored, digest, options = {} } = start;
  return async (body: Body, wanted: JobOptions): Promise<void> => {
    if (stored === undefined) {
      await calls.create(withoutEmpty(body));
    } else {
      const changes = changesOf<Body>(stored, { ...body, id: stored.id });
      if (Object.keys(changes).length > 0) {
        await calls.update(stored.id, changes, digest);
        digest = undefined;
      }
    }
    stored = { ...body, id: stored?.id ?? body.id };
    const changes = changesOf<JobOptions>(options, wanted);
    if (Object.keys(changes).length > 0) await calls.options(stored.id, changes);
    options = wanted;
  };
}
