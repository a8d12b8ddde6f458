// When a job runs.

import { Stack, Switch } from "@mantine/core";
import { useDatastores } from "../../../api/server";
import type { Form } from "../../../parts/dialog";
import { ScheduleField } from "../../../parts/fields/schedule-field";
import { texts } from "../../../texts";
import type { SyncValues } from "./values";

const words = texts.syncEditor;

export function WhenFields({ form }: { form: Form<SyncValues> }) {
  const { kind, store } = form.values;
  const isOnMount = form.values["run-on-mount"];
  const stores = useDatastores();
  const mine = kind === "local" ? [store, form.values["remote-store"]] : [store];
  // Until it is known which datastores are removable, nothing is said against it.
  const isFixed =
    store !== "" &&
    stores.data !== undefined &&
    !stores.data.some((one) => mine.includes(one.store) && one["mount-status"] !== "nonremovable");
  return (
    <Stack gap="sm">
      <ScheduleField form={form} name="schedule" />
      <Switch
        label={words.runOnMount}
        description={isFixed ? words.notRemovable(store) : words.runOnMountHint}
        disabled={isFixed && !isOnMount}
        {...form.getInputProps("run-on-mount", { type: "checkbox" })}
      />
      {isOnMount && (
        <Switch
          label={words.unmountOnDone}
          description={words.unmountOnDoneHint}
          {...form.getInputProps("unmount-on-done", { type: "checkbox" })}
        />
      )}
    </Stack>
  );
}
