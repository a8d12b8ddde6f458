/** All made-up answers in one. */
import type { Answers, Texts, Trials } from "./api";
import { configuration, probe } from "./configuration";
import { datastores } from "./datastores";
import { jobs, plan } from "./jobs";
import { node, nodeTexts } from "./node";
import { tasks } from "./tasks";

export { NOW, USER } from "./time";

/** Takes what does not name vm/9999. */
function matches(body: unknown): { matches: boolean[]; count: number } {
  const { groups = [] } = body as { groups?: string[] };
  const taken = groups.map((group) => group !== "vm/9999");
  return { matches: taken, count: taken.filter(Boolean).length };
}

export const trials: Trials = {
  "/farhold/group-filter": (body) => ({ data: matches(body) }),
  "/farhold/sync/plan": { data: plan },
  "/farhold/remotes/probe": { data: probe },
};

export const world: Omit<Answers, keyof Texts> & Texts = {
  ...node,
  ...datastores,
  ...jobs,
  ...tasks,
  ...configuration,
  ...nodeTexts,
};
