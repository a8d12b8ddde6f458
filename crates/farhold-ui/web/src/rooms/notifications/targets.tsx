// The targets of all kinds.

import { Button, Menu, Text } from "@mantine/core";
import { useState } from "react";
import { call } from "../../api/client";
import { useAct } from "../../api/hooks";
import { usePrivileges } from "../../api/server";
import { Loaded } from "../../parts/failure";
import { Panel } from "../../parts/page";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";
import { KINDS, PATH, useTargets, type Kind, type Target } from "./data";
import { lastColumns, nameColumn, stateColumn } from "./entry-columns";
import { TargetEditor } from "./target-editor";
import { TargetRemoval } from "./target-removal";
import { TestDialog } from "./target-test";

const words = texts.notifications;

const COLUMNS: Column<Target>[] = [
  nameColumn(),
  stateColumn(),
  { id: "kind", title: words.kind, value: (target) => words.kinds[target.type], width: "11rem" },
  ...lastColumns<Target>(),
];

type Open = { what: "new"; kind: Kind } | { what: "edit" | "removal"; target: Target };

export function Targets() {
  const targets = useTargets();
  const [open, setOpen] = useState<Open>();
  const [tested, setTested] = useState<string>();
  const test = useAct(
    (name: string) => call("post", "/config/notifications/targets/{name}/test", { params: { path: { name } } }),
    { quiet: true },
  );
  const isManager = usePrivileges()(PATH, "Sys.Modify");
  const close = () => setOpen(undefined);
  return (
    <Panel
      title={words.targets}
      {...(isManager ? { actions: <NewMenu onChoose={(kind) => setOpen({ what: "new", kind })} /> } : {})}
    >
      <Text size="sm" c="dimmed" mb="xs">
        {words.targetsHint}
      </Text>
      <Loaded query={targets}>
        {(list) => (
          <Table
            label={words.targetList}
            rows={list}
            columns={COLUMNS}
            rowKey={(target) => target.name}
            sorting={{ column: "name", direction: "up" }}
            onOpen={(target) => setOpen({ what: "edit", target })}
            actions={(target) => [
              {
                label: words.test,
                onClick: () => {
                  setTested(target.name);
                  test.mutate(target.name);
                },
                disabled: !isManager,
              },
              { label: texts.common.edit, onClick: () => setOpen({ what: "edit", target }) },
              {
                label: target.origin === "user-created" ? texts.common.remove : words.reset,
                color: "red",
                onClick: () => setOpen({ what: "removal", target }),
                disabled: !isManager || target.origin === "builtin",
              },
            ]}
          />
        )}
      </Loaded>
      {open?.what === "new" && <TargetEditor kind={open.kind} onClose={close} />}
      {open?.what === "edit" && <TargetEditor kind={open.target.type} name={open.target.name} onClose={close} />}
      {open?.what === "removal" && <TargetRemoval target={open.target} onClose={close} />}
      {tested !== undefined && <TestDialog name={tested} test={test} onClose={() => setTested(undefined)} />}
    </Panel>
  );
}

function NewMenu({ onChoose }: { onChoose: (kind: Kind) => void }) {
  return (
    <Menu position="bottom-end" withinPortal>
      <Menu.Target>
        <Button size="xs">{words.addTarget}</Button>
      </Menu.Target>
      <Menu.Dropdown>
        {KINDS.map((kind) => (
          <Menu.Item key={kind} onClick={() => onChoose(kind)}>
            {words.kinds[kind]}
            <Text size="xs" c="dimmed">
              {words.kindHints[kind]}
            </Text>
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
