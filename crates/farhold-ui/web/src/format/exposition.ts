// Samples in the text form of Prometheus. Source: docs/monitoring.md.

export interface Sample {
  name: string;
  labels: Readonly<Record<string, string>>;
  value: number;
}

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+\S+)?$/;
const LABEL = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPED: Readonly<Record<string, string>> = { n: "\n", '"': '"', "\\": "\\" };

/** Returns the samples of a text whose name starts with a prefix, in their order. */
export function samplesOf(text: string, prefix: string): Sample[] {
  return text.split("\n").flatMap((line) => {
    if (!line.startsWith(prefix)) return [];
    const [, name, labels = "", number] = LINE.exec(line) ?? [];
    if (name === undefined || number === undefined) return [];
    const pairs = [...labels.matchAll(LABEL)].map(
      ([, label = "", value = ""]) =>
        [label, value.replace(/\\(.)/g, (_, one: string) => ESCAPED[one] ?? one)] as const,
    );
    return [{ name, labels: Object.fromEntries(pairs), value: Number(number) }];
  });
}
