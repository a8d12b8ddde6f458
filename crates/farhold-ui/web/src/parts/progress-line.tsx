// How far a task is, as a bar with its rate and the time that is left.

import { Progress, Text } from "@mantine/core";
import type { TaskProgress } from "../api/progress";
import { percent, rate } from "../format/bytes";
import { shareOf } from "../format/share";
import { span } from "../format/time";
import { texts } from "../texts";

interface ProgressLineProps {
  progress: TaskProgress;
  /** What it is the progress of, for screen readers. */
  label: string;
}

export function ProgressLine({ progress, label }: ProgressLineProps) {
  const share = shareOf(progress);
  const known = [
    texts.tasks.phases[progress.phase],
    share === undefined ? undefined : percent(share),
    progress.rate === null ? undefined : rate(progress.rate),
    progress.eta === null ? undefined : `${texts.tasks.timeLeft}: ${span(progress.eta)}`,
  ].filter((part) => part !== undefined);
  return (
    <div>
      <Progress.Root size="md">
        <Progress.Section value={(share ?? 1) * 100} animated={share === undefined} aria-label={label} />
      </Progress.Root>
      <Text size="xs" mt={2}>
        {known.join(" · ")}
      </Text>
    </div>
  );
}
