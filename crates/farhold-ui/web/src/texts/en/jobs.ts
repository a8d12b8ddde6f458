export const jobs = {
  title: "Jobs of all datastores",
  tabs: { sync: "Sync jobs", prune: "Prune jobs", verify: "Verify jobs", gc: "Garbage collection" },
} as const;
