// The rules that limit traffic, with what passes through them now.

import { Button, Text } from "@mantine/core";
import { useState } from "react";
import { call } from "../../api/client";
import { useAnswer } from "../../api/hooks";
import { LIVE_SECONDS, usePrivileges } from "../../api/server";
import { rate } from "../../format/bytes";
import { RemovalDialog } from "../../parts/dialog";
import { Loaded } from "../../parts/failure";
import { Page } from "../../parts/page";
import { Table, type Column, type RowAction } from "../../parts/table";
import { texts } from "../../texts";
import { RuleDialog } from "./rule-dialog";
import type { Rule } from "./values";

const words = texts.traffic;

type Open = { digest: string | undefined } & ({ kind: "add" } | { kind: "edit" | "remove"; rule: Rule });

export default function Traffic() {
  const rules = useAnswer("/admin/traffic-control", undefined, { every: LIVE_SECONDS });
  const mayChange = usePrivileges()("/", "Sys.Modify");
  const [open, setOpen] = useState<Open>();
  const close = () => setOpen(undefined);
  const digest = rules.data?.digest;
  const edit = (rule: Rule) => setOpen({ kind: "edit", rule, digest });
  const actions = (rule: Rule): RowAction[] => [
    { label: texts.common.edit, onClick: () => edit(rule), disabled: !mayChange },
    {
      label: texts.common.remove,
      color: "red",
      onClick: () => setOpen({ kind: "remove", rule, digest }),
      disabled: !mayChange,
    },
  ];
  return (
    <Page
      title={texts.shell.traffic}
      actions={
        <Button disabled={!mayChange} onClick={() => setOpen({ kind: "add", digest })}>
          {texts.common.add}
        </Button>
      }
    >
      <Text size="sm" c="dimmed" mb="sm" maw="48rem">
        {words.about}
      </Text>
      <Loaded query={rules}>
        {({ data }) => (
          <Table
            label={texts.shell.traffic}
            rows={data}
            columns={COLUMNS}
            rowKey={(rule) => rule.name}
            actions={actions}
            sorting={{ column: "name", direction: "up" }}
            empty={words.empty}
            {...(mayChange ? { onOpen: edit } : {})}
          />
        )}
      </Loaded>
      {open?.kind === "add" && <RuleDialog digest={open.digest} onClose={close} />}
      {open?.kind === "edit" && <RuleDialog rule={open.rule} digest={open.digest} onClose={close} />}
      {open?.kind === "remove" && <RuleRemoval rule={open.rule} digest={open.digest} onClose={close} />}
    </Page>
  );
}

const COLUMNS: Column<Rule>[] = [
  { id: "name", title: texts.common.name, value: (rule) => rule.name },
  {
    id: "in",
    title: words.rateIn,
    value: (rule) => rule["cur-rate-in"],
    cell: (rule) => usage(rule["cur-rate-in"], rule["rate-in"]),
  },
  {
    id: "out",
    title: words.rateOut,
    value: (rule) => rule["cur-rate-out"],
    cell: (rule) => usage(rule["cur-rate-out"], rule["rate-out"]),
  },
  { id: "network", title: words.networks, value: (rule) => rule.network.join(", "), phone: false },
  { id: "users", title: words.users, value: (rule) => rule.users?.join(", ") || words.everybody, phone: false },
  {
    id: "timeframe",
    title: words.timeframe,
    value: (rule) => rule.timeframe?.join("; ") || words.always,
    phone: false,
  },
  { id: "comment", title: texts.common.comment, value: (rule) => rule.comment, phone: false },
];

/** Returns for instance `1.2 MiB/s of 20 MiB/s`. */
function usage(now: number, limit: string | undefined): string {
  return limit === undefined ? words.usageUnlimited(rate(now)) : words.usage(rate(now), limit);
}

function RuleRemoval({ rule, digest, onClose }: { rule: Rule; digest: string | undefined; onClose: () => void }) {
  return (
    <RemovalDialog
      title={words.remove(rule.name)}
      name={rule.name}
      remove={() =>
        call("delete", "/config/traffic-control/{name}", {
          params: { path: { name: rule.name }, query: digest === undefined ? {} : { digest } },
        })
      }
      refresh={["/admin/traffic-control"]}
      done={texts.common.removed(rule.name)}
      onClose={onClose}
    >
      {words.removal}
    </RemovalDialog>
  );
}
