// When garbage is collected, and who is told if it is not.

import { useState } from "react";
import { call, type Init } from "../../api/client";
import { useAnswer, useRead } from "../../api/hooks";
import { FormDialog } from "../../parts/dialog";
import { ScheduleField } from "../../parts/fields/schedule-field";
import { OnceInDialog } from "../../parts/once";
import { texts } from "../../texts";
import {
  JobOptionFields,
  jobOptionsOf,
  jobOptionValues,
  putJobOptions,
  type JobOptionValues,
} from "../upkeep/job-options";
import { jobSaver, type JobCalls, type JobOptions } from "../upkeep/job-save";

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
  const options = useRead("/farhold/job-options/{type}/{id}", { params: { path: { type: "gc", id: store } } });
  const title = texts.prune.gcScheduleOf(store);
  return (
    <OnceInDialog query={config} title={title} onClose={onClose}>
      {(answer) => (
        <OnceInDialog query={options} title={title} onClose={onClose}>
          {(stored) => (
            <Editor
              store={store}
              schedule={answer.data["gc-schedule"] ?? ""}
              digest={answer.digest}
              options={stored}
              onClose={onClose}
            />
          )}
        </OnceInDialog>
      )}
    </OnceInDialog>
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
