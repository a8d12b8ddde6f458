// The dry run of a stored job.

import { Button, Group, Loader, Stack, Text } from "@mantine/core";
import { useRead } from "../../../api/hooks";
import { Dialog } from "../../../parts/dialog";
import { Failure } from "../../../parts/failure";
import { texts } from "../../../texts";
import { PlanView } from "./plan-view";

const words = texts.syncPlan;

export function PlanDialog({ id, onClose }: { id: string; onClose: () => void }) {
  const plan = useRead("/farhold/sync/{id}/plan", { params: { path: { id } } });
  return (
    <Dialog title={words.title(id)} onClose={onClose} size="72rem">
      <Stack gap="sm">
        {plan.isFetching ? (
          <Asking />
        ) : (
          <>
            <Failure error={plan.error} />
            {!plan.error && plan.data && <PlanView plan={plan.data} />}
          </>
        )}
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

/** A dry run asks both sides, which takes a while with many groups. */
export function Asking() {
  return (
    <Group gap="xs" p="md" role="status">
      <Loader size="sm" aria-hidden />
      <Text size="sm">{words.working}</Text>
    </Group>
  );
}
