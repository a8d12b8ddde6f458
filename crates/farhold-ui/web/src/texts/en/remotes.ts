export const remotes = {} as const;
