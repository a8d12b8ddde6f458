export const datastores = {
  title: (store: string) => `Datastore: ${store}`,
  tabs: {
    summary: "Summary",
    content: "Content",
    sync: "Sync jobs",
    prune: "Prune & GC",
    verify: "Verify jobs",
    options: "Options",
    permissions: "Permissions",
  },
} as const;
