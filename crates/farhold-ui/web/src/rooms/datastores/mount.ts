// Mounting the device of a removable datastore, from wherever it is missed.

import { call } from "../../api/client";
import { useAct } from "../../api/hooks";
import { usePrivileges } from "../../api/server";
import { useTaskView } from "../../shell/task-link";
import { AFTER_CHANGE } from "../options/config";

/** The mutation that mounts a datastore and shows its task, and who may. */
export function useMount() {
  const task = useTaskView();
  const can = usePrivileges();
  const mount = useAct<string, string>(
    async (store) => (await call("post", "/admin/datastore/{store}/mount", { params: { path: { store } } })).data,
    { refresh: AFTER_CHANGE, onDone: task.open },
  );
  const mayMount = (store: string) =>
    can(`/datastore/${store}`, "Datastore.Modify") && can("/system/disks", "Sys.Modify");
  return { mount, mayMount };
}
