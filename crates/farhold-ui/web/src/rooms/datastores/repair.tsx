// Mending a datastore from a copy elsewhere, piece by piece.

import { Autocomplete, Button, Select, Switch, TagsInput, Text, TextInput } from "@mantine/core";
import { withoutEmpty } from "../../api/changes";
import { call } from "../../api/client";
import { wordsOf } from "../../api/failure";
import { useAct, useRead } from "../../api/hooks";
import { useDatastores } from "../../api/server";
import { FormDialog, type Form } from "../../parts/dialog";
import { Failure } from "../../parts/failure";
import { DepthField, NamespaceField } from "../../parts/fields/scope-fields";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import { LOCAL, originOf } from "./origin";

type Values = {
  remote: string;
  source: string;
  ns: string;
  "remote-ns": string;
  "max-depth": string;
  "group-filter": string[];
  owner: string;
  verify: boolean;
};

async function repair(store: string, values: Values, isDry: boolean): Promise<string> {
  const body = {
    from: originOf(values.remote, values.source),
    ...withoutEmpty({ ns: values.ns.trim(), "remote-ns": values["remote-ns"].trim() }),
    ...(values["max-depth"] === "" ? {} : { "max-depth": Number(values["max-depth"]) }),
    ...(values["group-filter"].length === 0 ? {} : { "group-filter": values["group-filter"] }),
    ...withoutEmpty({ owner: values.owner.trim() }),
    verify: values.verify,
    "dry-run": isDry,
  };
  return (await call("post", "/farhold/repair/{store}", { params: { path: { store } }, body })).data;
}

export function RepairDialog({ store, onClose }: { store: string; onClose: () => void }) {
  const { open } = useTaskView();
  const dryRun = useAct<Values, string>((values) => repair(store, values, true), { quiet: true, onDone: open });
  return (
    <FormDialog<Values, string>
      title={texts.datastores.repairTitle(store)}
      values={{
        remote: "",
        source: "",
        ns: "",
        "remote-ns": "",
        "max-depth": "",
        "group-filter": [],
        owner: "",
        verify: false,
      }}
      validate={check}
      send={(values) => repair(store, values, false)}
      submit={texts.datastores.repair}
      onDone={open}
      fieldOf={{ from: "source" }}
      onClose={onClose}
      extra={(form) => (
        <Button
          variant="default"
          loading={dryRun.isPending}
          onClick={() => {
            if (!form.validate().hasErrors) dryRun.mutate(form.values);
          }}
        >
          {texts.datastores.dryRun}
        </Button>
      )}
    >
      {(form) => (
        <>
          <Text size="sm">{texts.datastores.repairHint}</Text>
          <OriginFields form={form} store={store} />
          <NamespaceField form={form} name="ns" store={store} label={texts.datastores.repairNs} />
          <TextInput
            label={texts.datastores.remoteNs}
            description={texts.datastores.remoteNsHint}
            autoComplete="off"
            {...form.getInputProps("remote-ns")}
          />
          <DepthField form={form} name="max-depth" />
          <TagsInput
            label={texts.datastores.repairGroups}
            description={texts.datastores.repairGroupsHint}
            acceptValueOnBlur
            clearable
            {...form.getInputProps("group-filter")}
          />
          <TextInput
            label={texts.datastores.repairOwner}
            description={texts.datastores.repairOwnerHint}
            autoComplete="off"
            {...form.getInputProps("owner")}
          />
          <Switch
            label={texts.datastores.verifyFirst}
            description={texts.datastores.verifyFirstHint}
            {...form.getInputProps("verify", { type: "checkbox" })}
          />
          <Failure error={dryRun.error} />
        </>
      )}
    </FormDialog>
  );
}

function check(values: Values): Partial<Record<keyof Values, string>> {
  return {
    ...(values.remote === "" ? { remote: texts.common.required } : {}),
    ...(values.source.trim() === "" ? { source: texts.common.required } : {}),
  };
}

/** Where the copy is: a remote and its datastore, or another datastore of this server. */
function OriginFields({ form, store }: { form: Form<Values>; store: string }) {
  const { remote } = form.values;
  const remotes = useRead("/config/remote");
  const datastores = useDatastores();
  const isRemote = remote !== "" && remote !== LOCAL;
  const scan = useRead("/config/remote/{name}/scan", { params: { path: { name: remote } } }, { enabled: isRemote });
  const others = (datastores.data ?? []).map((entry) => entry.store).filter((name) => name !== store);
  const names = isRemote ? (scan.data ?? []).map((entry) => entry.store) : others;
  return (
    <>
      <Select
        label={texts.datastores.copyOn}
        required
        allowDeselect={false}
        data={[
          { value: LOCAL, label: texts.datastores.thisServer },
          ...(remotes.data ?? []).map(({ name, host }) => ({ value: name, label: `${name} (${host})` })),
        ]}
        {...(remotes.error ? { description: wordsOf(remotes.error) } : {})}
        {...form.getInputProps("remote")}
        value={remote === "" ? null : remote}
      />
      <SourceField form={form} names={names} problem={scan.error ? wordsOf(scan.error) : undefined} />
    </>
  );
}

function SourceField({ form, names, problem }: { form: Form<Values>; names: string[]; problem: string | undefined }) {
  return (
    <Autocomplete
      label={texts.datastores.copyStore}
      required
      data={names}
      {...(problem ? { description: problem } : {})}
      {...form.getInputProps("source")}
    />
  );
}
