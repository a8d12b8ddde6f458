// The matchers: which messages go to which targets.

import { Button, Text } from "@mantine/core";
import { useState } from "react";
import { call } from "../../api/client";
import { usePrivileges } from "../../api/server";
import { RemovalDialog } from "../../parts/dialog";
import { Loaded } from "../../parts/failure";
import { Panel } from "../../parts/page";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";
import { PATH, useMatchers, type Matcher } from "./data";
import { lastColumns, nameColumn, stateColumn } from "./entry-columns";
import { MatcherEditor, MatcherForm } from "./matcher-form";
import { sayMatcher } from "./say";

const words = texts.notifications;

const targetsOf = (matcher: Matcher): string => matcher.target?.join(", ") ?? words.noTarget;

const COLUMNS: Column<Matcher>[] = [
  nameColumn(),
  stateColumn(),
  { id: "rules", title: words.lets, value: sayMatcher, phone: false },
  { id: "targets", title: words.goesTo, value: targetsOf },
  ...lastColumns<Matcher>(),
];

type Open = { what: "new" } | { what: "edit" | "removal"; matcher: Matcher };

export function Matchers() {
  const matchers = useMatchers();
  const [open, setOpen] = useState<Open>();
  const isManager = usePrivileges()(PATH, "Sys.Modify");
  const close = () => setOpen(undefined);
  return (
    <Panel
      title={words.matchers}
      {...(isManager
        ? {
            actions: (
              <Button size="xs" onClick={() => setOpen({ what: "new" })}>
                {words.addMatcher}
              </Button>
            ),
          }
        : {})}
    >
      <Text size="sm" c="dimmed" mb="xs">
        {words.matchersHint}
      </Text>
      <Loaded query={matchers}>
        {(list) => (
          <Table
            label={words.matcherList}
            rows={list}
            columns={COLUMNS}
            rowKey={(matcher) => matcher.name}
            sorting={{ column: "name", direction: "up" }}
            onOpen={(matcher) => setOpen({ what: "edit", matcher })}
            actions={(matcher) => [
              { label: texts.common.edit, onClick: () => setOpen({ what: "edit", matcher }) },
              {
                label: matcher.origin === "user-created" ? texts.common.remove : words.reset,
                color: "red",
                onClick: () => setOpen({ what: "removal", matcher }),
                disabled: !isManager || matcher.origin === "builtin",
              },
            ]}
          />
        )}
      </Loaded>
      {open?.what === "new" && <MatcherForm onClose={close} />}
      {open?.what === "edit" && <MatcherEditor name={open.matcher.name} onClose={close} />}
      {open?.what === "removal" && <MatcherRemoval matcher={open.matcher} onClose={close} />}
    </Panel>
  );
}

function MatcherRemoval({ matcher, onClose }: { matcher: Matcher; onClose: () => void }) {
  const { name, origin } = matcher;
  const isMade = origin === "user-created";
  return (
    <RemovalDialog
      title={isMade ? words.removeMatcher(name) : words.resetMatcher(name)}
      name={name}
      remove={() => call("delete", "/config/notifications/matchers/{name}", { params: { path: { name } } })}
      refresh={["/config/notifications/matchers"]}
      done={isMade ? texts.common.removed(name) : texts.common.saved}
      {...(isMade ? {} : { submit: words.reset })}
      onClose={onClose}
    >
      {isMade ? words.matcherGone(targetsOf(matcher)) : words.resets}
    </RemovalDialog>
  );
}
