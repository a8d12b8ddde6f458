// The result of a repair above its log: what was mended, and what not with the reason.

import { List, ScrollArea, Stack, Text } from "@mantine/core";
import { State } from "../../parts/state";
import { texts } from "../../texts";
import type { RepairResult } from "./repair-result";

const words = texts.tasks;

export function RepairPanel({ result }: { result: RepairResult }) {
  const { summary, isDry, mended, unmended } = result;
  return (
    <Stack gap="xs" component="section" aria-label={words.repairResult}>
      <Text size="sm">{summary}</Text>
      {unmended.length > 0 && (
        <Part title={<State tone="bad">{words.unmended(unmended.length, isDry)}</State>} name={words.unmendedList}>
          {unmended.map(({ what, why }) => (
            <List.Item key={what}>
              {what}
              {why && (
                <Text size="sm" c="dimmed">
                  {why}
                </Text>
              )}
            </List.Item>
          ))}
        </Part>
      )}
      {mended.length > 0 && (
        <Part title={<State tone="good">{words.mended(mended.length, isDry)}</State>} name={words.mendedList}>
          {mended.map((what) => (
            <List.Item key={what}>{what}</List.Item>
          ))}
        </Part>
      )}
    </Stack>
  );
}

function Part({ title, name, children }: { title: React.ReactNode; name: string; children: React.ReactNode }) {
  return (
    <div>
      {title}
      <ScrollArea.Autosize mah="12rem" viewportProps={{ tabIndex: 0, role: "group", "aria-label": name }}>
        <List size="sm">{children}</List>
      </ScrollArea.Autosize>
    </div>
  );
}
