// Adding a datastore: a directory of this server, or one on a removable device.

import { Fieldset, Radio, SimpleGrid, Stack, Switch, Table, Text, TextInput } from "@mantine/core";
import { withoutEmpty } from "../../api/changes";
import { call } from "../../api/client";
import { useRead } from "../../api/hooks";
import { NODE } from "../../api/server";
import { bytes } from "../../format/bytes";
import { FormDialog, type Form } from "../../parts/dialog";
import { Loaded } from "../../parts/failure";
import { keepOf, keepValues, type KeepValues } from "../../parts/fields/keep";
import { KeepFields } from "../../parts/fields/keep-fields";
import { ScheduleField } from "../../parts/fields/schedule-field";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import { AFTER_CHANGE } from "../options/config";

type Values = KeepValues & {
  name: string;
  kind: "directory" | "removable";
  path: string;
  "backing-device": string;
  comment: string;
  "gc-schedule": string;
  "prune-schedule": string;
  "reuse-datastore": boolean;
};

const START: Values = {
  ...keepValues(),
  name: "",
  kind: "directory",
  path: "",
  "backing-device": "",
  comment: "",
  "gc-schedule": "daily",
  "prune-schedule": "",
  "reuse-datastore": false,
};

async function create(values: Values): Promise<string> {
  const isRemovable = values.kind === "removable";
  const isPruned = values["prune-schedule"].trim() !== "";
  const body = {
    name: values.name.trim(),
    path: values.path.trim(),
    ...withoutEmpty({
      "backing-device": isRemovable ? values["backing-device"].trim().toLowerCase() : "",
      comment: values.comment.trim(),
      "gc-schedule": values["gc-schedule"].trim(),
      "prune-schedule": values["prune-schedule"].trim(),
    }),
    ...(isPruned ? keepOf(values) : {}),
    "reuse-datastore": values["reuse-datastore"],
  };
  return (await call("post", "/config/datastore", { body })).data;
}

function check(values: Values): Partial<Record<keyof Values, string>> {
  const isMissing = (name: "name" | "path" | "backing-device") => values[name].trim() === "";
  return {
    ...(isMissing("name") ? { name: texts.common.required } : {}),
    ...(isMissing("path") ? { path: texts.common.required } : {}),
    ...(values.kind === "removable" && isMissing("backing-device") ? { "backing-device": texts.common.required } : {}),
  };
}

export function AddDatastore({ onClose }: { onClose: () => void }) {
  const { open } = useTaskView();
  return (
    <FormDialog<Values, string>
      title={texts.datastores.add}
      values={START}
      validate={check}
      send={create}
      submit={texts.common.add}
      size="xl"
      refresh={[...AFTER_CHANGE, "/admin/gc", "/admin/prune"]}
      onDone={open}
      onClose={onClose}
    >
      {(form) => (
        <>
          <TextInput
            label={texts.datastores.name}
            required
            autoComplete="off"
            data-autofocus
            {...form.getInputProps("name")}
          />
          <Place form={form} />
          <Switch
            label={texts.datastores.reuse}
            description={texts.datastores.reuseHint}
            {...form.getInputProps("reuse-datastore", { type: "checkbox" })}
          />
          <Fieldset legend={texts.datastores.schedules}>
            <Stack gap="xs">
              <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="xs">
                <ScheduleField form={form} name="gc-schedule" label={texts.datastores.gcSchedule} />
                <ScheduleField form={form} name="prune-schedule" label={texts.datastores.pruneSchedule} />
              </SimpleGrid>
              {form.values["prune-schedule"].trim() === "" ? (
                <Text size="sm">{texts.datastores.pruneHint}</Text>
              ) : (
                <KeepFields form={form} />
              )}
            </Stack>
          </Fieldset>
          <TextInput label={texts.common.comment} autoComplete="off" {...form.getInputProps("comment")} />
        </>
      )}
    </FormDialog>
  );
}

/** Where its data is. */
function Place({ form }: { form: Form<Values> }) {
  const isRemovable = form.values.kind === "removable";
  return (
    <>
      <Radio.Group label={texts.datastores.kind} {...form.getInputProps("kind")}>
        <Stack gap="xs" mt="xs">
          <Radio value="directory" label={texts.datastores.kinds.directory} />
          <Radio value="removable" label={texts.datastores.kinds.removable} />
        </Stack>
      </Radio.Group>
      {isRemovable && (
        <>
          <TextInput
            label={texts.datastores.device}
            description={texts.datastores.deviceHint}
            required
            autoComplete="off"
            {...form.getInputProps("backing-device")}
          />
          <Disks />
        </>
      )}
      <TextInput
        label={isRemovable ? texts.datastores.devicePath : texts.datastores.path}
        description={isRemovable ? texts.datastores.devicePathHint : texts.datastores.pathHint}
        required
        autoComplete="off"
        {...form.getInputProps("path")}
      />
    </>
  );
}

/** The disks and partitions, to recognise the device by. The server does not tell their UUIDs. */
function Disks() {
  const disks = useRead("/nodes/{node}/disks/list", {
    params: { path: { node: NODE }, query: { "include-partitions": true } },
  });
  return (
    <Loaded query={disks}>
      {(list) => (
        <Table captionSide="top" fz="xs">
          <Table.Caption>
            {texts.datastores.disks}, {texts.datastores.disksHint}
          </Table.Caption>
          <Table.Tbody>
            {list.flatMap((disk) => [
              <Table.Tr key={disk.devpath}>
                <Table.Td>{disk.devpath}</Table.Td>
                <Table.Td>{bytes(disk.size)}</Table.Td>
                <Table.Td>{[disk.vendor, disk.model, disk.serial].filter(Boolean).join(" ")}</Table.Td>
                <Table.Td>{disk.used}</Table.Td>
              </Table.Tr>,
              ...(disk.partitions ?? []).map((partition) => (
                <Table.Tr key={partition.devpath}>
                  <Table.Td>{partition.devpath}</Table.Td>
                  <Table.Td>{bytes(partition.size)}</Table.Td>
                  <Table.Td>{partition.filesystem}</Table.Td>
                  <Table.Td>{partition.used}</Table.Td>
                </Table.Tr>
              )),
            ])}
          </Table.Tbody>
        </Table>
      )}
    </Loaded>
  );
}
