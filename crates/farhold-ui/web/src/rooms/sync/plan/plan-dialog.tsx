// The dry run of a stored job.

import { Button, Group, Loader, Stack, Text } from "@mantine/core";
import type { UseQueryResult } from "@tanstack/react-query";
import type { ApiFailure } from "../../../api/failure";
import { useRead } from "../../../api/hooks";
import { Dialog } from "../../../parts/dialog";
import { Failure } from "../../../parts/failure";
import { texts } from "../../../texts";
import type { Plan } from "./plan-tree";
import { PlanView } from "./plan-view";

const words = texts.syncPlan;

export function PlanDialog({ id, onClose }: { id: string; onClose: () => void }) {
  const plan = useRead("/farhold/sync/{id}/plan", { params: { path: { id } } });
  return (
    <Dialog title={words.title(id)} onClose={onClose} size="72rem">
      <Stack gap="sm">
        <PlanOrWhyNot query={plan} />
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={() => void plan.refetch()} disabled={plan.isFetching}>
            {words.again}
          </Button>
          <Button onClick={onClose}>{texts.common.close}</Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

/** The plan once it has come, or why it did not. */
export function PlanOrWhyNot({ query }: { query: UseQueryResult<Plan, ApiFailure> }) {
  if (query.isFetching) return <Asking />;
  if (query.error || !query.data) return <Failure error={query.error} />;
  return <PlanView plan={query.data} />;
}

/** A dry run asks both sides, which takes a while with many groups. */
function Asking() {
  return (
    <Group gap="xs" p="md" role="status">
      <Loader size="sm" aria-hidden />
      <Text size="sm">{words.working}</Text>
    </Group>
  );
}
