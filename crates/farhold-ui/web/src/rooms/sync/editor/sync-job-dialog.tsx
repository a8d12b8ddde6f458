// Adding, editing and copying a sync job, with every option there is, and its dry run before it is saved.

import { Button, Fieldset, SegmentedControl, Stack, Text, TextInput } from "@mantine/core";
import { useState } from "react";
import { call, type Init } from "../../../api/client";
import { useAnswer } from "../../../api/hooks";
import { FormDialog, type Form } from "../../../parts/dialog";
import { texts } from "../../../texts";
import { JobOptionFields, putJobOptions } from "../../upkeep/job-options";
import { jobSaver, type JobCalls } from "../../upkeep/job-save";
import { StoredJob } from "../../upkeep/stored-job";
import type { Kind } from "../job-row";
import { JOB_PATHS } from "../use-jobs";
import { DraftPlan } from "./draft-plan";
import { GroupFilterFields } from "./group-filter-fields";
import { KeyFields } from "./key-fields";
import { LimitFields } from "./limit-fields";
import { ScopeFields } from "./scope-fields";
import { SideFields } from "./side-fields";
import {
  bodyOf,
  normalised,
  optionsOf,
  valuesOf,
  withFormerKey,
  wrongOf,
  type Body,
  type Stored,
  type StoredOptions,
  type SyncValues,
} from "./values";
import { WhenFields } from "./when-fields";

const words = texts.syncEditor;

interface SyncJobDialogProps {
  /** The job that is edited or copied; absent for a new one. */
  id?: string;
  isCopy?: boolean;
  /** Datastore of a new job. */
  store?: string;
  onClose: () => void;
}

export function SyncJobDialog({ id, isCopy = false, store, onClose }: SyncJobDialogProps) {
  if (id !== undefined) return <Existing id={id} isCopy={isCopy} onClose={onClose} />;
  return <Editor title={words.addTitle} start={valuesOf(store ? { store } : {})} onClose={onClose} />;
}

function Existing({ id, isCopy, onClose }: { id: string; isCopy: boolean; onClose: () => void }) {
  const job = useAnswer("/config/sync/{id}", { params: { path: { id } } });
  const title = isCopy ? words.copyTitle(id) : words.editTitle(id);
  return (
    <StoredJob title={title} type="sync" id={id} query={job} onClose={onClose}>
      {({ data, digest }, own) => (
        <Editor
          title={title}
          start={isCopy ? { ...valuesOf(data, own), id: "" } : valuesOf(data, own)}
          {...(isCopy ? {} : { stored: { job: data, options: own, ...(digest ? { digest } : {}) } })}
          onClose={onClose}
        />
      )}
    </StoredJob>
  );
}

interface EditorProps {
  title: string;
  start: SyncValues;
  stored?: { job: Stored; options: StoredOptions; digest?: string };
  onClose: () => void;
}

function Editor({ title, start, stored, onClose }: EditorProps) {
  const [save] = useState(() => jobSaver<Body>(callsOf(stored?.job), startOf(stored)));
  const [isPlanAsked, setPlanAsked] = useState(false);
  // What is wrong with a field can only be seen where the fields are.
  const isPlanShown = (form: Form<SyncValues>) => isPlanAsked && Object.keys(form.errors).length === 0;
  return (
    <FormDialog<SyncValues, void>
      title={title}
      size="64rem"
      values={start}
      validate={wrongOf}
      fieldOf={{ "sync-direction": "kind" }}
      send={(values) => save(bodyOf(values), optionsOf(values))}
      submit={stored ? texts.common.save : texts.common.add}
      refresh={[...JOB_PATHS, "/farhold/job-options/{type}/{id}"]}
      done={texts.common.saved}
      onClose={onClose}
      extra={(form) =>
        isPlanShown(form) ? (
          <Button variant="default" onClick={() => setPlanAsked(false)}>
            {texts.syncPlan.back}
          </Button>
        ) : (
          <Button variant="default" onClick={() => setPlanAsked(!hasErrors(form))}>
            {words.dryRun}
          </Button>
        )
      }
    >
      {(form) =>
        isPlanShown(form) ? (
          <section aria-label={texts.syncPlan.draftTitle}>
            <Text fw={600} mb="xs">
              {texts.syncPlan.draftTitle}
            </Text>
            <DraftPlan values={form.values} storedId={stored?.job.id} />
          </section>
        ) : (
          <Fields form={form} stored={stored?.job} />
        )
      }
    </FormDialog>
  );
}

/** Checks what can be checked here. A name is not needed to look at what would be done. */
function hasErrors(form: Form<SyncValues>): boolean {
  const { id: _, ...wrong } = wrongOf(form.values);
  form.setErrors(wrong);
  return Object.keys(wrong).length > 0;
}

function Fields({ form, stored }: { form: Form<SyncValues>; stored: Stored | undefined }) {
  const { kind } = form.values;
  const kinds = Object.keys(texts.sync.kindLong) as Kind[];
  // What a stored job does with backups is not turned around under its name.
  const isOffered = (other: Kind) => stored === undefined || (other === "push") === (kind === "push");
  return (
    <Stack gap="md">
      {!stored && (
        <TextInput label={words.id} required autoComplete="off" data-autofocus {...form.getInputProps("id")} />
      )}
      <Stack gap={4}>
        <SegmentedControl
          aria-label={words.kind}
          fullWidth
          data={kinds.map((value) => ({
            value,
            label: texts.sync.kind[value],
            disabled: !isOffered(value),
          }))}
          value={kind}
          onChange={(value) => form.setFieldValue("kind", value as Kind)}
        />
        <Text size="xs" c="dimmed">
          {words.kindHint[kind]} {stored && words.kindFixed}
        </Text>
        {form.errors.kind && <Text c="var(--mantine-color-error)">{form.errors.kind}</Text>}
      </Stack>
      <SideFields form={form} />
      <Fieldset legend={words.sections.scope}>
        <ScopeFields form={form} />
      </Fieldset>
      <Fieldset legend={words.sections.groups}>
        <GroupFilterFields form={form} />
      </Fieldset>
      <Fieldset legend={words.sections.when}>
        <WhenFields form={form} />
      </Fieldset>
      <Fieldset legend={words.sections.keys}>
        <KeyFields form={form} storedKey={stored?.["active-encryption-key"]} />
      </Fieldset>
      <Fieldset legend={words.sections.limits}>
        <LimitFields form={form} />
      </Fieldset>
      <JobOptionFields form={form} />
      <TextInput label={texts.common.comment} autoComplete="off" {...form.getInputProps("comment")} />
    </Stack>
  );
}

function callsOf(stored: Stored | undefined): JobCalls<Body> {
  return {
    create: (body) => call("post", "/config/sync", { body: body as Init<"post", "/config/sync">["body"] }),
    update: (id, changes, digest) => {
      const { id: _, ...body } = stored ? withFormerKey(stored, changes) : changes;
      return call("put", "/config/sync/{id}", {
        params: { path: { id } },
        body: { ...body, ...(digest ? { digest } : {}) } as Init<"put", "/config/sync/{id}">["body"],
      });
    },
    options: (id, changes) => putJobOptions("sync", id, changes),
  };
}

function startOf(stored: EditorProps["stored"]) {
  if (!stored) return {};
  return {
    stored: normalised(stored.job),
    options: optionsOf(valuesOf(stored.job, stored.options)),
    ...(stored.digest ? { digest: stored.digest } : {}),
  };
}
