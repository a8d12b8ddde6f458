// The dry run of a job as it stands in the form, before it is stored.

import { Button, Group, Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { call, type Init } from "../../../api/client";
import type { ApiFailure } from "../../../api/failure";
import { texts } from "../../../texts";
import { PlanOrWhyNot } from "../plan/plan-dialog";
import type { Plan } from "../plan/plan-tree";
import { draftOf, type SyncValues } from "./values";

const words = texts.syncPlan;

interface DraftPlanProps {
  values: SyncValues;
  /** Name of the job that is stored and edited. */
  storedId: string | undefined;
}

export function DraftPlan({ values, storedId }: DraftPlanProps) {
  const draft = draftOf(values, storedId);
  const plan = useQuery<Plan, ApiFailure>({
    queryKey: ["/farhold/sync/plan", draft],
    queryFn: async ({ signal }) =>
      (await call("post", "/farhold/sync/plan", { body: draft as Init<"post", "/farhold/sync/plan">["body"], signal }))
        .data,
    // What both sides have changes by itself: each look is a new one.
    gcTime: 0,
  });
  return (
    <Stack gap="sm">
      <PlanOrWhyNot query={plan} />
      <Group>
        <Button size="compact-sm" variant="default" onClick={() => void plan.refetch()} disabled={plan.isFetching}>
          {words.again}
        </Button>
      </Group>
    </Stack>
  );
}
