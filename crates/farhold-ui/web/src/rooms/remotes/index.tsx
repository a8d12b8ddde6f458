// The remotes: other servers to pull from and push to.

import { Button } from "@mantine/core";
import { useState } from "react";
import { useAnswer } from "../../api/hooks";
import { CALM_SECONDS, usePrivileges } from "../../api/server";
import { Loaded } from "../../parts/failure";
import { Page } from "../../parts/page";
import { Table, type Column, type RowAction } from "../../parts/table";
import { texts } from "../../texts";
import { shortFingerprint } from "./address";
import { ProbeDialog } from "./probe-dialog";
import { RemoteDialog } from "./remote-dialog";
import { RemoteRemoval } from "./remote-removal";
import { ScanDialog } from "./scan-dialog";
import { jobsWith, useSyncJobs, type SyncJob } from "./uses";
import type { Remote } from "./values";

const words = texts.remotes;

/** What is open over the list, with the state of the configuration in which it was opened. */
type Open = { digest: string | undefined } & (
  { kind: "add" } | { kind: "edit" | "probe" | "scan" | "remove"; remote: Remote }
);

export default function Remotes() {
  const remotes = useAnswer("/config/remote", undefined, { every: CALM_SECONDS });
  const jobs = useSyncJobs({ every: CALM_SECONDS });
  const may = usePrivileges();
  const [open, setOpen] = useState<Open>();
  const close = () => setOpen(undefined);
  const digest = remotes.data?.digest;
  const mayChange = (remote: Remote) => may(`/remote/${remote.name}`, "Remote.Modify");
  const actions = (remote: Remote): RowAction[] => [
    {
      label: texts.common.edit,
      onClick: () => setOpen({ kind: "edit", remote, digest }),
      disabled: !mayChange(remote),
    },
    { label: words.probe.action, onClick: () => setOpen({ kind: "probe", remote, digest }) },
    { label: words.scan.action, onClick: () => setOpen({ kind: "scan", remote, digest }) },
    {
      label: texts.common.remove,
      color: "red",
      onClick: () => setOpen({ kind: "remove", remote, digest }),
      disabled: !mayChange(remote),
    },
  ];
  return (
    <Page
      title={texts.shell.remotes}
      actions={
        <Button onClick={() => setOpen({ kind: "add", digest })} disabled={!may("/remote", "Remote.Modify")}>
          {texts.common.add}
        </Button>
      }
    >
      <Loaded query={remotes}>
        {({ data }) => (
          <Table
            label={texts.shell.remotes}
            rows={data}
            columns={columns(jobs.data)}
            rowKey={(remote) => remote.name}
            onOpen={(remote) => setOpen({ kind: mayChange(remote) ? "edit" : "probe", remote, digest })}
            actions={actions}
            sorting={{ column: "name", direction: "up" }}
            empty={may("/remote", "Remote.Audit") ? words.empty : words.unseen}
          />
        )}
      </Loaded>
      {open?.kind === "add" && <RemoteDialog digest={open.digest} onClose={close} />}
      {open?.kind === "edit" && <RemoteDialog remote={open.remote} digest={open.digest} onClose={close} />}
      {open?.kind === "probe" && (
        <ProbeDialog remote={open.remote} digest={open.digest} mayChange={mayChange(open.remote)} onClose={close} />
      )}
      {open?.kind === "scan" && <ScanDialog remote={open.remote.name} onClose={close} />}
      {open?.kind === "remove" && <RemoteRemoval name={open.remote.name} digest={open.digest} onClose={close} />}
    </Page>
  );
}

function columns(jobs: readonly SyncJob[] | undefined): Column<Remote>[] {
  return [
    { id: "name", title: texts.common.name, value: (remote) => remote.name },
    { id: "host", title: words.host, value: (remote) => hostOf(remote) },
    { id: "auth", title: words.authId, value: (remote) => remote["auth-id"], phone: false },
    {
      id: "fingerprint",
      title: words.fingerprint,
      value: (remote) => remote.fingerprint,
      cell: (remote) => (
        <span title={remote.fingerprint}>
          {remote.fingerprint ? shortFingerprint(remote.fingerprint) : words.byAuthority}
        </span>
      ),
      phone: false,
    },
    {
      id: "jobs",
      title: words.usedBy,
      value: (remote) => usersOf(jobs, remote).length,
      cell: (remote) => {
        const users = usersOf(jobs, remote);
        return <span title={users.join(", ")}>{users.length === 0 ? words.unused : words.jobs(users.length)}</span>;
      },
      phone: false,
    },
    { id: "comment", title: texts.common.comment, value: (remote) => remote.comment, phone: false },
  ];
}

const usersOf = (jobs: readonly SyncJob[] | undefined, remote: Remote): string[] =>
  jobsWith(jobs, (job) => job.remote === remote.name);

/** Returns for instance `pbs2.example:8007`. */
function hostOf(remote: Remote): string {
  const host = remote.host.includes(":") ? `[${remote.host}]` : remote.host;
  return remote.port === undefined ? host : `${host}:${remote.port}`;
}
