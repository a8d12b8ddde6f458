// When garbage is collected, and who is told if it is not.

import { useState } from "react";
import { call, type Init } from "../../api/client";
import { useAnswer } from "../../api/hooks";
import { FormDialog } from "../../parts/dialog";
import { ScheduleField } from "../../parts/fields/schedule-field";
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

type Body = { id: string; "gc-schedule"?: string };
type Values = JobOptionValues & { "gc-schedule": string };

const CALLS: JobCalls<Body> = {
  create: () => Promise.reject(new Error("a garbage collection is not created")),
  update: (name, changes, digest) =>
    call("put", "/config/datastore/{name}", {
      params: { path: { name } },
      body: { ...changes, id: undefined, digest } as Init<"put", "/config/datastore/{name}">["body"],
    }),
  options: (id, changes) => putJobOptions("gc", id, changes),
};

export function CollectionDialog({ store, onClose }: { store: string; onClose: () => void }) {
  const config = useAnswer("/config/datastore/{name}", { params: { path: { name: store } } });
  return (
    <StoredJob title={texts.prune.gcScheduleOf(store)} type="gc" id={store} query={config} onClose={onClose}>
      {({ data, digest }, options) => (
        <Editor
          store={store}
          schedule={data["gc-schedule"] ?? ""}
          digest={digest}
          options={options}
          onClose={onClose}
        />
      )}
    </StoredJob>
  );
}

interface EditorProps {
  store: string;
  schedule: string;
  digest: string | undefined;
  options: JobOptions;
  onClose: () => void;
}

function Editor({ store, schedule, digest, options, onClose }: EditorProps) {
  const start = { "gc-schedule": schedule, ...jobOptionValues(options) };
  const [save] = useState(() =>
    jobSaver<Body>(CALLS, {
      stored: { id: store, "gc-schedule": schedule },
      ...(digest ? { digest } : {}),
      options: jobOptionsOf(start),
    }),
  );
  return (
    <FormDialog<Values, void>
      title={texts.prune.gcScheduleOf(store)}
      values={start}
      send={(values) => save({ id: store, "gc-schedule": values["gc-schedule"].trim() }, jobOptionsOf(values))}
      refresh={[
        "/admin/gc",
        "/admin/datastore/{store}/gc",
        "/config/datastore",
        "/config/datastore/{name}",
        "/farhold/job-options",
        "/farhold/job-options/{type}/{id}",
      ]}
      done={texts.common.saved}
      onClose={onClose}
    >
      {(form) => (
        <>
          <ScheduleField form={form} name="gc-schedule" />
          <JobOptionFields form={form} />
        </>
      )}
    </FormDialog>
  );
}
