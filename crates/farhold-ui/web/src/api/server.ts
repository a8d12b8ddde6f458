// What many screens want to know of the server. One place, so that they share an answer.

import { useAnswer, useRead, type ReadOptions } from "./hooks";

/** The name that stands for the server itself in paths. */
export const NODE = "localhost";

/** Seconds between two looks at what changes by itself. */
export const LIVE_SECONDS = 3;
export const CALM_SECONDS = 30;

/** The datastores that the user may see. */
export const useDatastores = (options: ReadOptions = { every: CALM_SECONDS }) =>
  useRead("/admin/datastore", undefined, options);

/** The tasks that run now. */
export const useRunningTasks = () =>
  useAnswer(
    "/nodes/{node}/tasks",
    { params: { path: { node: NODE }, query: { running: true, limit: 50 } } },
    { every: LIVE_SECONDS },
  );

/** What the user may do, by path of the access control list and privilege. */
export function usePrivileges(): (path: string, privilege: string) => boolean {
  const { data } = useRead("/access/permissions", undefined, { every: 5 * 60 });
  const known = data as Record<string, Record<string, boolean>> | undefined;
  return (path, privilege) => {
    if (!known) return false;
    // The nearest path above that has an entry counts; privileges that do not propagate are marked with `false`.
    for (let at = path; ; at = at.slice(0, at.lastIndexOf("/")) || "/") {
      const entry = known[at];
      if (entry) return privilege in entry && (at === path || entry[privilege] === true);
      if (at === "/") return false;
    }
  };
}
