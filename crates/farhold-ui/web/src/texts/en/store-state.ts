export const storeState = {
  usageOf: (store: string) => `Usage of ${store}`,
  broken: "cannot be opened",
  maintenance: (type: string) => `maintenance: ${type}`,
  mounted: "mounted",
  notMounted: "not mounted",
  available: "available",
  full: {
    unknown: "not known yet",
    steady: "stays as it is",
    shrinking: "never: usage shrinks",
    far: "in more than 10 years",
    years: (count: number) => `in ${count} years`,
    within: (span: string) => `in ${span}`,
  },
} as const;
