// The options of a sync job in words, those that are at their default left out.

import { texts } from "../../texts";
import { placeOf, type JobRow } from "./job-row";

const words = texts.sync;

const RULES = [
  "remove-vanished",
  "encrypted-only",
  "verified-only",
  "resync-corrupt",
  "run-on-mount",
  "unmount-on-done",
] as const;

/** Returns how many levels of namespaces a job takes, in words. */
export function depthWords(depth: number | undefined): string {
  if (depth === undefined) return words.options.depthAll;
  return depth === 0 ? words.options.depthNone : words.options.depthLevels(depth);
}

/** Returns names and values of a job's options. */
export function factsOf({ job, options, other, kind }: JobRow): [string, string | undefined][] {
  const rules = [
    ...RULES.filter((name) => job[name]).map((name) => words.rule[name]),
    ...(["verify-after", "traffic-control"] as const).filter((name) => options?.[name]).map((name) => words.rule[name]),
  ];
  const rates = [
    job["rate-in"] ? words.options.rateIn(`${job["rate-in"]}/s`) : undefined,
    job["rate-out"] ? words.options.rateOut(`${job["rate-out"]}/s`) : undefined,
  ].filter((text) => text !== undefined);
  const pings = [
    options?.["ping-success"] ? words.ping.success : undefined,
    options?.["ping-failure"] ? words.ping.failure : undefined,
  ].filter((text) => text !== undefined);
  return [
    [words.columns.kind, words.kindLong[kind]],
    [words.columns.store, placeOf(job.store, job.ns)],
    [words.columns.other, kind === "push" ? words.to(other) : words.from(other)],
    [words.columns.schedule, job.schedule ?? words.onlyByHand],
    [words.options.owner, job.owner ?? "root@pam"],
    [words.options.depth, depthWords(job["max-depth"])],
    [words.options.filters, job["group-filter"]?.join(", ") ?? words.options.allGroups],
    [words.options.transferLast, job["transfer-last"]?.toString()],
    [words.options.rules, rules.join(", ") || undefined],
    [words.options.rates, rates.join(", ") || undefined],
    [words.options.activeKey, job["active-encryption-key"]],
    [words.options.keys, job["associated-key"]?.join(", ") || undefined],
    [words.options.workers, job["worker-threads"]?.toString()],
    [words.options.staleAfter, options?.["stale-after"]],
    [words.options.pings, pings.join(", ") || undefined],
    [words.columns.comment, job.comment],
  ];
}
