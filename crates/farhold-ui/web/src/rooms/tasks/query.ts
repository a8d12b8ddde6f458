// What the list of tasks asks the server for.

export interface TaskFilter {
  isRunning: boolean;
  result: "all" | "ok" | "warning" | "error" | "unknown";
  kind: string;
  user: string;
  store: string;
  /** Days as `2026-05-01`, in the browser's time zone; empty: any. */
  since: string;
  until: string;
}

export const NO_FILTER: TaskFilter = {
  isRunning: false,
  result: "all",
  kind: "",
  user: "",
  store: "",
  since: "",
  until: "",
};

/** Tasks that come with one request. */
export const PAGE = 200;

/** Returns the parameters of the call. */
export function queryOf(filter: TaskFilter, limit: number) {
  const day = (text: string, hours: number) => {
    const date = new Date(`${text}T00:00:00`);
    return text === "" || Number.isNaN(date.getTime()) ? undefined : Math.floor(date.getTime() / 1000) + hours * 3600;
  };
  const query: {
    limit: number;
    running?: boolean;
    statusfilter?: Exclude<TaskFilter["result"], "all">[];
    typefilter?: string;
    userfilter?: string;
    store?: string;
    since?: number;
    until?: number;
  } = { limit };
  if (filter.isRunning) query.running = true;
  if (filter.result !== "all") query.statusfilter = [filter.result];
  if (filter.kind) query.typefilter = filter.kind;
  if (filter.user.trim()) query.userfilter = filter.user.trim();
  if (filter.store) query.store = filter.store;
  const [since, until] = [day(filter.since, 0), day(filter.until, 24)];
  if (since !== undefined) query.since = since;
  if (until !== undefined) query.until = until;
  return query;
}
