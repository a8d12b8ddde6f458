// How a datastore is: how full, whether mounted, how far its use is restricted.

import { Group, Progress, Text } from "@mantine/core";
import { percent } from "../format/bytes";
import { fullnessOf, maintenanceOf, usedShare, type Fullness } from "../format/usage";
import { texts } from "../texts";
import { State } from "./state";

const COLORS: Record<Fullness, string> = { fine: "cyan.7", high: "yellow.7", critical: "red.8" };

interface UsageBarProps {
  store: string;
  used: number | undefined;
  total: number | undefined;
}

/** A bar with the used share beside it; nothing if the size is not known. */
export function UsageBar({ store, used, total }: UsageBarProps) {
  const share = usedShare(used, total);
  if (share === undefined) return null;
  return (
    <Group gap="xs" wrap="nowrap">
      <Progress.Root size="lg" style={{ flex: "1 1 6rem", minWidth: "4rem" }}>
        <Progress.Section
          value={share * 100}
          color={COLORS[fullnessOf(share)]}
          aria-label={texts.storeState.usageOf(store)}
        />
      </Progress.Root>
      <Text size="sm" style={{ whiteSpace: "nowrap" }}>
        {percent(share)}
      </Text>
    </Group>
  );
}

interface StoreStateProps {
  mountStatus?: string | undefined;
  /** The maintenance mode as the configuration has it. */
  maintenance?: string | null | undefined;
  /** Why it cannot be opened. */
  error?: string | undefined;
}

/** Whether a datastore can be used, in one or two words each. */
export function StoreStates({ mountStatus, maintenance, error }: StoreStateProps) {
  const words = texts.storeState;
  const mode = maintenanceOf(maintenance);
  return (
    <Group gap={4}>
      {error && (
        <State tone="bad" title={error}>
          {words.broken}
        </State>
      )}
      {mode && (
        <State tone="warning" {...(mode.message ? { title: mode.message } : {})}>
          {words.maintenance(mode.type)}
        </State>
      )}
      {mountStatus === "mounted" && <State tone="good">{words.mounted}</State>}
      {mountStatus === "notmounted" && <State tone="quiet">{words.notMounted}</State>}
      {!error && !mode && mountStatus === "nonremovable" && <State tone="good">{words.available}</State>}
    </Group>
  );
}
