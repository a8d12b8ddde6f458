// Adding and editing a remote, with a probe before it is saved.

import { Button, Checkbox, Group, Loader, NumberInput, Text, TextInput } from "@mantine/core";
import { useState } from "react";
import { call } from "../../api/client";
import { useAct } from "../../api/hooks";
import { FormDialog, type Form } from "../../parts/dialog";
import { Failure } from "../../parts/failure";
import { SecretField } from "../../parts/fields/secret-field";
import { texts } from "../../texts";
import { addressOf, fingerprintOf } from "./address";
import { ProbeReport } from "./probe-report";
import type { Report } from "./probe-steps";
import { changeOf, creationOf, faultsOf, probeOf, valuesOf, type Remote, type RemoteValues } from "./values";

const words = texts.remotes;

interface RemoteDialogProps {
  /** The remote to change; a new one if absent. */
  remote?: Remote;
  /** State of the configuration in which it was read. */
  digest: string | undefined;
  onClose: () => void;
}

interface Probed {
  report: Report;
  /** The fingerprint that was in the form then. */
  expected: string | undefined;
}

export function RemoteDialog({ remote, digest, onClose }: RemoteDialogProps) {
  const [probed, setProbed] = useState<Probed>();
  const [needsPassword, setNeedsPassword] = useState(false);
  const probe = useAct(
    async ({ body, expected }: { body: Probing; expected: string | undefined }) => {
      const { data } = await call("post", "/farhold/remotes/probe", { body });
      return { report: data, expected };
    },
    { quiet: true, onDone: setProbed },
  );

  const start = (form: Form<RemoteValues>, changed: Partial<RemoteValues> = {}) => {
    const values = { ...form.getValues(), ...changed };
    const { name: _name, password: _password, ...faults } = faultsOf(values, true);
    form.setErrors(faults);
    const body = probeOf(remote, values);
    setNeedsPassword(body === undefined);
    if (Object.keys(faults).length > 0) return;
    setProbed(undefined);
    if (body === undefined) return;
    const expected = fingerprintOf(values.fingerprint) || undefined;
    probe.mutate(
      { body, expected },
      {
        onError: (error) => {
          for (const [field, text] of Object.entries(error.fields)) form.setFieldError(field, text);
        },
      },
    );
  };

  const take = (form: Form<RemoteValues>, fingerprint: string) => {
    form.setFieldValue("fingerprint", fingerprint);
    setProbed(undefined);
    if (probeOf(remote, { ...form.getValues(), fingerprint })) start(form, { fingerprint });
  };

  return (
    <FormDialog
      title={remote ? words.edit(remote.name) : words.add}
      size="xl"
      values={valuesOf(remote)}
      validate={(values) => faultsOf(values, remote === undefined)}
      submit={remote ? texts.common.save : texts.common.add}
      send={async (values: RemoteValues) => {
        if (!remote) return call("post", "/config/remote", { body: creationOf(values) });
        const body = changeOf(remote, values);
        if (Object.keys(body).length === 0) return undefined;
        return call("put", "/config/remote/{name}", {
          params: { path: { name: remote.name } },
          body: { ...body, ...(digest === undefined ? {} : { digest }) },
        });
      }}
      refresh={["/config/remote"]}
      done={texts.common.saved}
      onClose={onClose}
      extra={(form) => (
        <Button variant="default" loading={probe.isPending} onClick={() => start(form)}>
          {words.probe.draft}
        </Button>
      )}
    >
      {(form) => (
        <>
          <Fields form={form} remote={remote} />
          {needsPassword && form.getValues().password === "" && (
            <Text size="sm" role="status">
              {words.probe.needsPassword}
            </Text>
          )}
          {probe.isPending && (
            <Group gap="xs" role="status">
              <Loader size="xs" aria-hidden />
              <Text size="sm">{words.probe.running}</Text>
            </Group>
          )}
          {!probe.isPending && <Failure error={probe.error} />}
          {probed && !probe.isPending && <ProbeReport {...probed} onTake={(fingerprint) => take(form, fingerprint)} />}
        </>
      )}
    </FormDialog>
  );
}

type Probing = NonNullable<ReturnType<typeof probeOf>>;

function Fields({ form, remote }: { form: Form<RemoteValues>; remote: Remote | undefined }) {
  const splitHost = () => {
    const address = addressOf(form.getValues().host);
    form.setFieldValue("host", address.host);
    if (address.port !== undefined) form.setFieldValue("port", address.port);
  };
  const host = form.getInputProps("host");
  return (
    <>
      {!remote && (
        <TextInput
          label={texts.common.name}
          required
          data-autofocus
          autoComplete="off"
          {...form.getInputProps("name")}
        />
      )}
      <Group align="flex-start" grow preventGrowOverflow={false}>
        <TextInput
          label={words.host}
          description={words.hostHint}
          required
          autoComplete="off"
          {...host}
          onBlur={(event) => {
            host.onBlur?.(event);
            splitHost();
          }}
        />
        <NumberInput
          label={words.port}
          description={words.portHint}
          min={1}
          max={65535}
          allowDecimal={false}
          hideControls
          maw="8rem"
          {...form.getInputProps("port")}
        />
      </Group>
      <TextInput
        label={words.authId}
        description={words.authIdHint}
        required
        autoComplete="off"
        {...form.getInputProps("auth-id")}
      />
      <SecretField
        form={form}
        name="password"
        label={words.password}
        description={remote ? words.passwordStored : words.passwordHint}
        required={!remote}
        {...(remote ? { placeholder: words.passwordKept } : {})}
      />
      <TextInput
        label={words.fingerprint}
        description={words.fingerprintHint}
        autoComplete="off"
        spellCheck={false}
        {...form.getInputProps("fingerprint")}
      />
      <Checkbox label={words.proxy} {...form.getInputProps("use-node-proxy", { type: "checkbox" })} />
      <TextInput label={texts.common.comment} maxLength={128} {...form.getInputProps("comment")} />
    </>
  );
}
