// Words that prune jobs, verify jobs and garbage collections share.

const times = (count: number, one: string, many: string) => (count === 1 ? one : `${count} ${many}`);

export const upkeep = {
  keeps: {
    "keep-last": "Keep last",
    "keep-hourly": "Keep hourly",
    "keep-daily": "Keep daily",
    "keep-weekly": "Keep weekly",
    "keep-monthly": "Keep monthly",
    "keep-yearly": "Keep yearly",
  },
  keepShort: {
    "keep-last": (count: number) => `last ${count}`,
    "keep-hourly": (count: number) => `hourly ${count}`,
    "keep-daily": (count: number) => `daily ${count}`,
    "keep-weekly": (count: number) => `weekly ${count}`,
    "keep-monthly": (count: number) => `monthly ${count}`,
    "keep-yearly": (count: number) => `yearly ${count}`,
  },
  keepMeaning: {
    "keep-last": (count: number) => (count === 1 ? "the newest snapshot" : `the ${count} newest snapshots`),
    "keep-hourly": (count: number) => `the newest of ${count === 1 ? "one hour" : `each of ${count} hours`}`,
    "keep-daily": (count: number) => `the newest of ${count === 1 ? "one day" : `each of ${count} days`}`,
    "keep-weekly": (count: number) => `the newest of ${count === 1 ? "one week" : `each of ${count} weeks`}`,
    "keep-monthly": (count: number) => `the newest of ${count === 1 ? "one month" : `each of ${count} months`}`,
    "keep-yearly": (count: number) => `the newest of ${count === 1 ? "one year" : `each of ${count} years`}`,
  },
  keepMeanings: (parts: readonly string[]) =>
    `Kept of each group: ${parts.join("; ")}. Only periods with backups count, and each option looks at what the one before it left over. Protected snapshots always stay.`,
  keepsAll: "Without a number nothing is removed: everything is kept.",
  namespaceHint: "empty for the root",
  depth: "Max. depth",
  depthHint: "how many levels of namespaces below it belong to it",
  depthFull: "Full",
  depths: (count: number) =>
    count === 0 ? "only the namespace itself" : times(count, "1 level below", "levels below"),
  jobId: "Job ID",
  running: "running",
  notYet: "not yet",
  byHand: "by hand",
  disabled: "disabled",
  log: "Show log of the last run",
  openLog: (name: string) => `Log of the last run of ${name}`,
  progressOf: (name: string) => `Progress of ${name}`,
  details: (id: string) => `Job ${id}`,
  runs: "Runs",
  options: "Watching over it",
  staleAfter: "Warn without success for",
  staleAfterHint: "such as 26h or 8d: a notification is raised when it has had no success for so long; empty for never",
  pingSuccess: "Call after a success",
  pingFailure: "Call after a failure",
  pingHint: "an address that is called after a run; it is kept as a secret",
  showField: (label: string) => `Show: ${label}`,
  due: "due",
  copyOf: (id: string) => `${id}-copy`,
  copyJob: "Copy",
} as const;
