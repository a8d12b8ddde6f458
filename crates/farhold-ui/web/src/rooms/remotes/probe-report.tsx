// What a probe found, step by step, and the offer to take over a fingerprint.

import { Alert, Button, Checkbox, Stack, Text } from "@mantine/core";
import { useState } from "react";
import { Copyable } from "../../parts/copy";
import { Facts } from "../../parts/facts";
import { State } from "../../parts/state";
import { dateTime } from "../../format/time";
import { texts } from "../../texts";
import { newFingerprint, sorted, TONES, type Report } from "./probe-steps";
import styles from "./remotes.module.css";

const words = texts.remotes.probe;

interface ProbeReportProps {
  report: Report;
  /** The fingerprint that was expected. */
  expected: string | undefined;
  /** Takes over a fingerprint; not offered if absent. */
  onTake?: (fingerprint: string) => void;
  isTaking?: boolean;
}

export function ProbeReport({ report, expected, onTake, isTaking = false }: ProbeReportProps) {
  const { taken, skipped } = sorted(report.steps);
  const found = onTake && newFingerprint(report, expected);
  const hasWarnings = taken.some((step) => step.state === "warning");
  const verdict = !report.usable ? words.unusable : hasWarnings ? words.usableWarnings : words.usable;
  return (
    <Stack gap="sm" role="status" ref={bringIntoSight}>
      <Text fw={600}>{verdict}</Text>
      <ol className={styles.steps} aria-label={words.steps}>
        {taken.map((step) => (
          <li key={step.step} className={styles.step}>
            <div>
              <State tone={TONES[step.state]}>{words.states[step.state]}</State>
            </div>
            <span>{words.names[step.step]}</span>
            <div>
              {step.text}
              {step.hint && (
                <Text size="sm" c="dimmed">
                  {step.hint}
                </Text>
              )}
            </div>
          </li>
        ))}
      </ol>
      {[...skipped].map(([reason, steps]) => (
        <Text key={reason} size="sm" c="dimmed">
          {words.notLookedAt(reason)} {steps.map((step) => words.names[step]).join(", ")}
        </Text>
      ))}
      <Facts
        rows={[
          [words.peer, report.peer],
          [words.certificateEnd, report.certificate?.notafter && dateTime(report.certificate.notafter)],
          [words.privileges, report.privileges.length > 0 && report.privileges.join(", ")],
        ]}
      />
      {found && onTake && (
        <TakeOver
          key={found}
          fingerprint={found}
          isOther={expected !== undefined}
          onTake={() => onTake(found)}
          isTaking={isTaking}
        />
      )}
    </Stack>
  );
}

/** A report below a long form is out of sight when it arrives. */
function bringIntoSight(element: HTMLElement | null): void {
  element?.scrollIntoView({ block: "nearest" });
}

interface TakeOverProps {
  fingerprint: string;
  /** Whether another one was expected. */
  isOther: boolean;
  onTake: () => void;
  isTaking: boolean;
}

/** Asks to compare the fingerprint before it can be used: nobody else vouches for it. */
function TakeOver({ fingerprint, isOther, onTake, isTaking }: TakeOverProps) {
  const [isCompared, setCompared] = useState(false);
  const take = texts.remotes.take;
  return (
    <Alert color={isOther ? "red" : "yellow"} title={take.title}>
      <Stack gap="xs">
        {isOther && <Text size="sm">{take.differs}</Text>}
        <Text size="sm">{take.found}</Text>
        <Copyable value={fingerprint} what={texts.remotes.fingerprint} />
        <Text size="sm">{take.compare}</Text>
        <Checkbox
          label={take.compared}
          checked={isCompared}
          onChange={(event) => setCompared(event.currentTarget.checked)}
        />
        <div>
          <Button size="xs" disabled={!isCompared} loading={isTaking} onClick={onTake}>
            {take.action}
          </Button>
        </div>
      </Stack>
    </Alert>
  );
}
