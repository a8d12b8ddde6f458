// The namespaces of a datastore as lines of a tree.

export interface NamespaceLine {
  /** The full name; empty for the root. */
  ns: string;
  /** Its name below the namespace above that is listed, most often its last part. */
  name: string;
  /** How many of those above it are listed. */
  depth: number;
  hasChildren: boolean;
}

/** Returns the namespace above; `undefined` for the root. */
export function parentOf(ns: string): string | undefined {
  if (ns === "") return undefined;
  const slash = ns.lastIndexOf("/");
  return slash < 0 ? "" : ns.slice(0, slash);
}

/** Whether a namespace is another one or lies below it. */
export const isWithin = (ns: string, other: string): boolean =>
  other === "" || ns === other || ns.startsWith(`${other}/`);

/**
 * Returns the lines, each namespace before those below it. `names` may lack those above one that is there: they are not
 * for everybody to see.
 */
export function linesOf(names: readonly string[]): readonly NamespaceLine[] {
  const parts = (ns: string): string[] => (ns === "" ? [] : ns.split("/"));
  const sorted = [...new Set(names)].sort((a, b) => comparePaths(parts(a), parts(b)));
  const listed = new Set(sorted);
  return sorted.map((ns, at) => {
    const next = sorted[at + 1];
    const above = ancestorsOf(ns).filter((other) => listed.has(other));
    const [nearest = ""] = above;
    return {
      ns,
      name: nearest === "" ? ns : ns.slice(nearest.length + 1),
      depth: above.length,
      hasChildren: next !== undefined && isWithin(next, ns),
    };
  });
}

/** Returns the namespaces above, the nearest first. */
function ancestorsOf(ns: string): readonly string[] {
  const above: string[] = [];
  for (let at = parentOf(ns); at !== undefined; at = parentOf(at)) above.push(at);
  return above;
}

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "variant" });

function comparePaths(a: readonly string[], b: readonly string[]): number {
  for (let at = 0; at < Math.min(a.length, b.length); at += 1) {
    const [one, other] = [a[at] ?? "", b[at] ?? ""];
    // Names such as `a1` and `a01` are alike to the collator, but not the same.
    const order = collator.compare(one, other) || Number(one > other) - Number(one < other);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** Returns the lines that no closed namespace above hides; of those above that are missing, none can be closed. */
export function inSight(lines: readonly NamespaceLine[], closed: ReadonlySet<string>): readonly NamespaceLine[] {
  return lines.filter(({ ns }) => !ancestorsOf(ns).some((above) => closed.has(above)));
}

/** Namespaces from which on those below the first level are closed at the beginning. */
const MANY_NAMESPACES = 60;

/** Returns the namespaces that are closed at the beginning; those above the current one never are. */
export function closedAtFirst(lines: readonly NamespaceLine[], current: string): ReadonlySet<string> {
  if (lines.length < MANY_NAMESPACES) return new Set();
  const closed = lines.filter(({ ns, hasChildren }) => hasChildren && ns !== "" && !isWithin(current, ns));
  return new Set(closed.map(({ ns }) => ns));
}
