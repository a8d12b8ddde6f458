// What is to be thought of a job, as a word.

import { State, type Tone } from "../../parts/state";
import { texts } from "../../texts";
import type { JobHealth, Verdict } from "./health";

const TONES: Record<Verdict, Tone> = {
  stale: "bad",
  failed: "bad",
  unproven: "warning",
  warned: "warning",
  behind: "warning",
  unrun: "quiet",
  fine: "good",
};

export function VerdictState({ verdict, count }: { verdict: Verdict; count?: number }) {
  const word = texts.dashboard.health.verdicts[verdict];
  return (
    <State tone={TONES[verdict]}>{count === undefined ? word : texts.dashboard.health.counted(count, word)}</State>
  );
}

/** The health of a job, and that it runs if it does. */
export function JobState({ job }: { job: JobHealth }) {
  // Of a job that runs for the first time there is nothing else to tell.
  const isJudged = !(job.runningUpid && job.verdict === "unrun");
  return (
    <>
      {isJudged && <VerdictState verdict={job.verdict} />}{" "}
      {job.runningUpid && <State tone="running">{texts.dashboard.health.running}</State>}
    </>
  );
}
