/** All made-up answers in one. */
import type { Answers, Texts } from "./api";
import { configuration } from "./configuration";
import { datastores } from "./datastores";
import { jobs } from "./jobs";
import { node, nodeTexts } from "./node";
import { tasks } from "./tasks";

export { NOW, USER } from "./time";

export const world: Omit<Answers, keyof Texts> & Texts = {
  ...node,
  ...datastores,
  ...jobs,
  ...tasks,
  ...configuration,
  ...nodeTexts,
};
