// The English words, by room.

import { access } from "./access";
import { certificate } from "./certificate";
import { common } from "./common";
import { content } from "./content";
import { dashboard } from "./dashboard";
import { datastores } from "./datastores";
import { history } from "./history";
import { jobs } from "./jobs";
import { keys } from "./keys";
import { notifications } from "./notifications";
import { options } from "./options";
import { permissions } from "./permissions";
import { prune } from "./prune";
import { remotes } from "./remotes";
import { runs } from "./runs";
import { shell } from "./shell";
import { storeState } from "./store-state";
import { summary } from "./summary";
import { sync } from "./sync";
import { syncEditor } from "./sync-editor";
import { syncPlan } from "./sync-plan";
import { tasks } from "./tasks";
import { traffic } from "./traffic";
import { upkeep } from "./upkeep";
import { verify } from "./verify";

export const en = {
  access,
  certificate,
  common,
  content,
  dashboard,
  datastores,
  history,
  jobs,
  keys,
  notifications,
  options,
  permissions,
  prune,
  remotes,
  runs,
  shell,
  storeState,
  summary,
  sync,
  syncEditor,
  syncPlan,
  tasks,
  traffic,
  upkeep,
  verify,
};
