/** All made-up answers in one. */
import type { Answers } from "./api";
import { configuration } from "./configuration";
import { datastores } from "./datastores";
import { jobs } from "./jobs";
import { node } from "./node";
import { tasks } from "./tasks";

export { NOW, USER } from "./time";

export const world: Answers = { ...node, ...datastores, ...jobs, ...tasks, ...configuration };
