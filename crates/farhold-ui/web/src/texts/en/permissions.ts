export const permissions = {
  whoHere: "Who may do what here",
} as const;
