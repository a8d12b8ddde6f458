export const runs = {
  of: (job: string) => `Runs of ${job}`,
  none: "No run has been kept yet.",
  kept: (count: number, failed: number) =>
    `${count === 1 ? "1 run is kept" : `${count} runs are kept`}, ${failed === 0 ? "none of them failed" : failed === 1 ? "1 of them failed" : `${failed} of them failed`}.`,
  throughput: "Throughput",
  behind: "Snapshots behind",
  behindShort: "Behind",
  duration: "Duration",
  freed: "Freed",
  moved: "Moved",
  snapshots: "Snapshots",
  failures: "Failures",
  retries: "Waits",
  ended: "Ended",
  result: "Result",
  overTime: (what: string) => `${what} of each run, over time; the table below has the same values`,
} as const;
