// Where a job takes snapshots from and where it brings them: picked from what there is, or typed.

import { Autocomplete, Fieldset, Select, SimpleGrid, Stack, Text, TextInput } from "@mantine/core";
import { wordsOf } from "../../../api/failure";
import { useRead } from "../../../api/hooks";
import type { Form } from "../../../parts/dialog";
import { DatastoreField } from "../../../parts/fields/scope-fields";
import { texts } from "../../../texts";
import { otherOf, useNamespacesOf, useStoresOf, type Side } from "./sides";
import type { SyncValues } from "./values";

const words = texts.syncEditor;

type Props = { form: Form<SyncValues> };

/** Both sides, the source first. */
export function SideFields({ form }: Props) {
  const isPush = form.values.kind === "push";
  const own = <OwnSide form={form} />;
  const other = <OtherSide form={form} />;
  return (
    <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
      <Fieldset legend={words.sections.source}>{isPush ? own : other}</Fieldset>
      <Fieldset legend={words.sections.target}>{isPush ? other : own}</Fieldset>
    </SimpleGrid>
  );
}

/** The datastore of the job itself. */
function OwnSide({ form }: Props) {
  const isPush = form.values.kind === "push";
  return (
    <Stack gap="xs">
      <DatastoreField form={form} name="store" label={words.localStore} />
      <AnchorField
        form={form}
        name="ns"
        label={words.localNs}
        side={{ store: form.values.store, ns: form.values.ns }}
        isSource={isPush}
      />
      <OwnerField form={form} />
    </Stack>
  );
}

/** The remote with its datastore, or another datastore of this server. */
function OtherSide({ form }: Props) {
  const { kind, remote } = form.values;
  const isLocal = kind === "local";
  return (
    <Stack gap="xs">
      {isLocal ? (
        <DatastoreField form={form} name="remote-store" label={words.sourceStore} />
      ) : (
        <>
          <RemoteField form={form} />
          <RemoteStoreField form={form} remote={remote} />
        </>
      )}
      <AnchorField
        form={form}
        name="remote-ns"
        label={isLocal ? words.sourceNs : words.remoteNs}
        side={otherOf(form.values)}
        isSource={kind !== "push"}
      />
    </Stack>
  );
}

function RemoteField({ form }: Props) {
  const remotes = useRead("/config/remote");
  const current = form.values.remote;
  const entries = remotes.data ?? [];
  const data = entries.map(({ name, host }) => ({ value: name, label: `${name} (${host})` }));
  if (current !== "" && !entries.some(({ name }) => name === current)) data.push({ value: current, label: current });
  // Whoever may use a datastore of a remote need not see the remote itself.
  if (remotes.error || remotes.data?.length === 0) {
    const description = remotes.error ? words.namesFailed(wordsOf(remotes.error)) : words.noRemotes;
    return <TextInput label={words.remote} description={description} required {...form.getInputProps("remote")} />;
  }
  return (
    <Select
      label={words.remote}
      description={words.remoteHint}
      required
      searchable
      allowDeselect={false}
      data={data}
      {...form.getInputProps("remote")}
      value={current === "" ? null : current}
    />
  );
}

function RemoteStoreField({ form, remote }: Props & { remote: string }) {
  const stores = useStoresOf(remote);
  const names = stores.data?.map(({ store }) => store) ?? [];
  const typed = form.values["remote-store"].trim();
  const isMissing = stores.data !== undefined && typed !== "" && !names.includes(typed);
  return (
    <>
      <Autocomplete
        label={words.remoteStore}
        required
        data={names}
        description={stores.isFetching && !stores.data ? words.scanning : undefined}
        disabled={remote === ""}
        {...form.getInputProps("remote-store")}
      />
      {stores.error && (
        <Text size="xs" c="var(--mantine-color-error)" role="status">
          {words.scanFailed} {wordsOf(stores.error)}
        </Text>
      )}
      {isMissing && (
        <Text size="xs" role="status">
          {words.notThere}
        </Text>
      )}
    </>
  );
}

interface AnchorFieldProps extends Props {
  name: "ns" | "remote-ns";
  label: string;
  side: Side;
  isSource: boolean;
}

/** The namespace where a side starts. */
function AnchorField({ form, name, label, side, isSource }: AnchorFieldProps) {
  const namespaces = useNamespacesOf(side);
  const names = namespaces.data?.map(({ ns }) => ns).filter((ns) => ns !== "") ?? [];
  const typed = form.values[name].trim();
  const isMissing = namespaces.data !== undefined && typed !== "" && !names.includes(typed);
  const description = namespaces.error
    ? words.namesFailed(wordsOf(namespaces.error))
    : isMissing
      ? isSource
        ? words.missingNamespace
        : words.newNamespace
      : words.anchorHint;
  return (
    <Autocomplete
      label={label}
      placeholder={texts.common.rootNamespace}
      description={description}
      data={names}
      limit={200}
      maxDropdownHeight={260}
      {...form.getInputProps(name)}
    />
  );
}

function OwnerField({ form }: Props) {
  const users = useRead("/access/users", { params: { query: { include_tokens: true } } });
  const known =
    users.data?.flatMap(({ userid, tokens }) => [userid, ...(tokens ?? []).map((one) => one.tokenid)]) ?? [];
  const label = { description: form.values.kind === "push" ? words.ownerPush : words.ownerPull, label: words.owner };
  // Whoever may not list users types the name.
  if (known.length === 0) return <TextInput {...label} autoComplete="off" {...form.getInputProps("owner")} />;
  return <Autocomplete {...label} placeholder="root@pam" data={known} limit={100} {...form.getInputProps("owner")} />;
}
