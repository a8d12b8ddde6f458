// Adding and editing a verify job.

import { TextInput } from "@mantine/core";
import { useState } from "react";
import { call, type Data, type Init } from "../../api/client";
import { useAnswer } from "../../api/hooks";
import { FormDialog } from "../../parts/dialog";
import { ScheduleField } from "../../parts/fields/schedule-field";
import { DatastoreField } from "../../parts/fields/scope-fields";
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
import { VerifyFields, verifyOptionsOf, verifyValues, type VerifyValues } from "./verify-fields";

type Body = Data<"get", "/config/verify/{id}">;
type Values = VerifyValues & JobOptionValues & { id: string; store: string; schedule: string; comment: string };

const CALLS: JobCalls<Body> = {
  create: (body) => call("post", "/config/verify", { body: body as Body }),
  update: (id, changes, digest) =>
    call("put", "/config/verify/{id}", {
      params: { path: { id } },
      body: { ...changes, id: undefined, digest } as Init<"put", "/config/verify/{id}">["body"],
    }),
  options: (id, changes) => putJobOptions("verify", id, changes),
};

interface DialogProps {
  /** The job that is edited, or copied; absent for a new one. */
  id?: string;
  isCopy?: boolean;
  /** The datastore of a new job, if it is known. */
  store?: string;
  onClose: () => void;
}

/** What a new job does: all that is new, and everything again each month. */
const FRESH = { schedule: "daily", "outdated-after": 30 };

export function VerifyJobDialog({ id, isCopy = false, store, onClose }: DialogProps) {
  if (id === undefined) return <Editor isNew start={{ store: store ?? "", ...FRESH }} onClose={onClose} />;
  return <Existing id={id} isCopy={isCopy} onClose={onClose} />;
}

function Existing({ id, isCopy, onClose }: { id: string; isCopy: boolean; onClose: () => void }) {
  const job = useAnswer("/config/verify/{id}", { params: { path: { id } } });
  return (
    <StoredJob title={texts.verify.edit(id)} type="verify" id={id} query={job} onClose={onClose}>
      {({ data, digest }, options) => (
        <Editor
          isNew={isCopy}
          start={isCopy ? { ...data, id: texts.upkeep.copyOf(id) } : data}
          options={options}
          digest={digest}
          onClose={onClose}
        />
      )}
    </StoredJob>
  );
}

function bodyOf(values: Values): Body {
  return {
    id: values.id.trim(),
    store: values.store,
    schedule: values.schedule.trim(),
    comment: values.comment.trim(),
    ...verifyOptionsOf(values),
  };
}

interface EditorProps {
  isNew: boolean;
  start: Partial<Body>;
  options?: JobOptions;
  digest?: string | undefined;
  onClose: () => void;
}

function Editor({ isNew, start, options, digest, onClose }: EditorProps) {
  const values: Values = {
    ...verifyValues(start),
    ...jobOptionValues(options),
    id: start.id ?? "",
    store: start.store ?? "",
    schedule: start.schedule ?? "",
    comment: start.comment ?? "",
  };
  // What is stored is compared in the form's own terms, so that a default that is not stored is no change.
  const [save] = useState(() =>
    jobSaver<Body>(CALLS, isNew ? {} : { stored: bodyOf(values), digest, options: jobOptionsOf(values) }),
  );
  return (
    <FormDialog<Values, void>
      title={isNew ? texts.verify.add : texts.verify.edit(start.id ?? "")}
      values={values}
      validate={(current) => ({
        ...(current.id.trim() === "" ? { id: texts.common.required } : {}),
        ...(current.store === "" ? { store: texts.common.required } : {}),
      })}
      send={(current) => save(bodyOf(current), jobOptionsOf(current))}
      submit={isNew ? texts.common.add : texts.common.save}
      size="xl"
      refresh={[
        "/admin/verify",
        "/config/verify",
        "/config/verify/{id}",
        "/farhold/job-options",
        "/farhold/job-options/{type}/{id}",
      ]}
      done={texts.common.saved}
      onClose={onClose}
    >
      {(form) => (
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
          <VerifyFields
            form={form}
            store={form.values.store}
            before={<DatastoreField form={form} name="store" />}
            hasOwnThreads={false}
          />
          <ScheduleField form={form} name="schedule" />
          <TextInput label={texts.common.comment} autoComplete="off" {...form.getInputProps("comment")} />
          <JobOptionFields form={form} />
        </>
      )}
    </FormDialog>
  );
}
