export const prune = {} as const;
