// Adding and editing a prune job.

import { Fieldset, Stack, Switch, TextInput } from "@mantine/core";
import { useState } from "react";
import { call, type Data, type Init } from "../../api/client";
import { useAnswer } from "../../api/hooks";
import { FormDialog } from "../../parts/dialog";
import { keepOf, keepValues, KEEPS, type KeepValues } from "../../parts/fields/keep";
import { KeepFields } from "../../parts/fields/keep-fields";
import { ScheduleField } from "../../parts/fields/schedule-field";
import { DatastoreField, DepthField, NamespaceField } from "../../parts/fields/scope-fields";
import { texts } from "../../texts";
import {
  JobOptionFields,
  jobOptionsOf,
  jobOptionValues,
  putJobOptions,
  type JobOptionValues,
} from "../upkeep/job-options";
import { jobSaver, type JobCalls, type JobOptions } from "../upkeep/job-save";
import { StoredJob } from "../upkeep/stored-job";
import { PrunePreview } from "./preview-panel";

type Stored = Data<"get", "/config/prune/{id}">;
type Body = Omit<Stored, "disable"> & { disable?: boolean };
type Values = KeepValues &
  JobOptionValues & {
    id: string;
    store: string;
    ns: string;
    "max-depth": string;
    schedule: string;
    isEnabled: boolean;
    comment: string;
  };

const CALLS: JobCalls<Body> = {
  create: (body) => call("post", "/config/prune", { body: body as Body }),
  update: (id, changes, digest) =>
    call("put", "/config/prune/{id}", {
      params: { path: { id } },
      body: { ...changes, id: undefined, digest } as Init<"put", "/config/prune/{id}">["body"],
    }),
  options: (id, changes) => putJobOptions("prune", id, changes),
};

interface DialogProps {
  /** The job that is edited, or copied; absent for a new one. */
  id?: string;
  isCopy?: boolean;
  /** The datastore of a new job, if it is known. */
  store?: string;
  onClose: () => void;
}

export function PruneJobDialog({ id, isCopy = false, store, onClose }: DialogProps) {
  if (id === undefined) return <Editor isNew start={{ store: store ?? "", schedule: "daily" }} onClose={onClose} />;
  return <Existing id={id} isCopy={isCopy} onClose={onClose} />;
}

function Existing({ id, isCopy, onClose }: { id: string; isCopy: boolean; onClose: () => void }) {
  const job = useAnswer("/config/prune/{id}", { params: { path: { id } } });
  return (
    <StoredJob title={texts.prune.edit(id)} type="prune" id={id} query={job} onClose={onClose}>
      {({ data, digest }, options) => (
        <Editor
          isNew={isCopy}
          start={isCopy ? { ...data, id: texts.upkeep.copyOf(id) } : data}
          options={options}
          {...(digest ? { digest } : {})}
          onClose={onClose}
        />
      )}
    </StoredJob>
  );
}

function valuesOf(job: Partial<Body>, options: JobOptions | undefined): Values {
  return {
    ...keepValues(job),
    ...jobOptionValues(options),
    id: job.id ?? "",
    store: job.store ?? "",
    ns: job.ns ?? "",
    "max-depth": job["max-depth"] === undefined ? "" : String(job["max-depth"]),
    schedule: job.schedule ?? "",
    isEnabled: !job.disable,
    comment: job.comment ?? "",
  };
}

const depthOf = (values: Values): number | undefined =>
  values["max-depth"] === "" ? undefined : Number(values["max-depth"]);

function bodyOf(values: Values): Body {
  const keep = keepOf(values);
  return {
    id: values.id.trim(),
    store: values.store,
    ns: values.ns.trim(),
    "max-depth": depthOf(values),
    schedule: values.schedule.trim(),
    disable: !values.isEnabled,
    comment: values.comment.trim(),
    // Named one by one, so that an emptied one is seen as gone.
    ...Object.fromEntries(KEEPS.map((name) => [name, keep[name]])),
  };
}

interface EditorProps {
  isNew: boolean;
  start: Partial<Body>;
  options?: JobOptions;
  digest?: string;
  onClose: () => void;
}

function Editor({ isNew, start, options, digest, onClose }: EditorProps) {
  const [save] = useState(() =>
    jobSaver<Body>(
      CALLS,
      isNew
        ? {}
        : {
            stored: start as Body,
            ...(digest ? { digest } : {}),
            ...(options ? { options: jobOptionsOf(jobOptionValues(options)) } : {}),
          },
    ),
  );
  return (
    <FormDialog<Values, void>
      title={isNew ? texts.prune.add : texts.prune.edit(start.id ?? "")}
      values={valuesOf(start, options)}
      validate={(values) => ({
        ...(values.id.trim() === "" ? { id: texts.common.required } : {}),
        ...(values.store === "" ? { store: texts.common.required } : {}),
        ...(values.schedule.trim() === "" ? { schedule: texts.common.required } : {}),
      })}
      send={(values) => save(bodyOf(values), jobOptionsOf(values))}
      submit={isNew ? texts.common.add : texts.common.save}
      size="xl"
      refresh={[
        "/admin/prune",
        "/config/prune",
        "/farhold/job-options",
        "/farhold/job-options/{type}/{id}",
        "/config/prune/{id}",
      ]}
      done={texts.common.saved}
      fieldOf={{ disable: "isEnabled" }}
      onClose={onClose}
    >
      {(form) => {
        const scope = {
          store: form.values.store,
          ns: form.values.ns.trim(),
          depth: depthOf(form.values),
          keep: keepOf(form.values),
        };
        return (
          <>
            {isNew && (
              <TextInput
                label={texts.upkeep.jobId}
                required
                autoComplete="off"
                data-autofocus
                {...form.getInputProps("id")}
              />
            )}
            <Fieldset legend={texts.prune.scope}>
              <Stack gap="xs">
                <DatastoreField form={form} name="store" />
                <NamespaceField form={form} name="ns" store={form.values.store} />
                <DepthField form={form} name="max-depth" />
              </Stack>
            </Fieldset>
            <ScheduleField form={form} name="schedule" />
            <Switch
              label={texts.prune.enabled}
              description={texts.prune.enabledHint}
              {...form.getInputProps("isEnabled", { type: "checkbox" })}
            />
            <Fieldset legend={texts.prune.retention}>
              <Stack gap="xs">
                <KeepFields form={form} />
                <PrunePreview key={JSON.stringify(scope)} scope={scope} />
              </Stack>
            </Fieldset>
            <TextInput label={texts.common.comment} autoComplete="off" {...form.getInputProps("comment")} />
            <JobOptionFields form={form} />
          </>
        );
      }}
    </FormDialog>
  );
}
