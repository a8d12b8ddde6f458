// What a run would do: figures first, then every namespace, group and snapshot with the rule that decides.

import { Alert, Button, Group, Select, Stack, Text, TextInput } from "@mantine/core";
import { useMemo, useState } from "react";
import { bytes } from "../../../format/bytes";
import { Facts } from "../../../parts/facts";
import { Table } from "../../../parts/table";
import { texts } from "../../../texts";
import { planColumns } from "./plan-columns";
import { everyKey, openAtFirst, shownOf, type PlanFilter } from "./plan-shown";
import { isIdle, removedWords, totalsOf, type Totals } from "./plan-totals";
import { treeOf, type Plan } from "./plan-tree";

const words = texts.syncPlan;

export function PlanView({ plan }: { plan: Plan }) {
  const tree = useMemo(() => treeOf(plan), [plan]);
  const totals = useMemo(() => totalsOf(plan, tree), [plan, tree]);
  const [open, setOpen] = useState<ReadonlySet<string>>(() => openAtFirst(tree));
  const [filter, setFilter] = useState<PlanFilter>(() =>
    totals.fetch + totals.remove + totals.fail > 0 ? "changes" : "all",
  );
  const [text, setText] = useState("");
  const rows = useMemo(() => shownOf(tree, open, filter, text), [tree, open, filter, text]);
  const toggle = (key: string) =>
    setOpen((before) => {
      const next = new Set(before);
      if (!next.delete(key)) next.add(key);
      return next;
    });
  const columns = useMemo(() => planColumns(open, toggle), [open]);
  return (
    <Stack gap="sm">
      {plan["is-compatibility-mode"] && (
        <Alert color="yellow" variant="light">
          {words.compatibility}
        </Alert>
      )}
      {isIdle(totals) && <Text size="sm">{words.nothingToDo}</Text>}
      <Facts rows={factsOf(plan, totals)} />
      <Table
        label={words.label}
        rows={rows}
        columns={columns}
        rowKey={({ key }) => key}
        isArranged
        maxHeight="50dvh"
        onOpen={({ key, children }) => children.length > 0 && toggle(key)}
        tree={{
          level: ({ level }) => level,
          isOpen: ({ key, children }) => (children.length > 0 ? open.has(key) : undefined),
          toggle: ({ key }) => toggle(key),
        }}
        empty={texts.common.noMatch}
        toolbar={
          <Group gap="xs">
            <Select
              size="xs"
              w="13rem"
              aria-label={words.show}
              allowDeselect={false}
              value={filter}
              data={(Object.keys(words.filter) as PlanFilter[]).map((value) => ({ value, label: words.filter[value] }))}
              onChange={(value) => setFilter((value ?? "all") as PlanFilter)}
            />
            <TextInput
              size="xs"
              aria-label={texts.common.filterRows(words.label)}
              placeholder={words.filterGroups}
              value={text}
              onChange={(event) => setText(event.currentTarget.value)}
            />
            <Button size="compact-xs" variant="default" onClick={() => setOpen(everyKey(tree))}>
              {words.openAll}
            </Button>
            <Button size="compact-xs" variant="default" onClick={() => setOpen(new Set(tree.map(({ key }) => key)))}>
              {words.closeAll}
            </Button>
          </Group>
        }
      />
    </Stack>
  );
}

function factsOf(plan: Plan, totals: Totals): [string, string | undefined][] {
  const facts = words.facts;
  return [
    [
      facts[plan.direction],
      totals.fetch === 0 ? words.nothing : `${words.fetch(totals.fetch)}, ${words.atMost(bytes(totals.bytes))}`,
    ],
    [facts.compared, totals.compare ? `${totals.compare} (${words.comparedWhy})` : undefined],
    [
      facts.skipped,
      totals.skipped.map(([reason, count]) => words.skippedOf(count, words.reason[reason] ?? reason)).join("; ") ||
        undefined,
    ],
    [facts.created, totals.created ? String(totals.created) : undefined],
    [facts.removed, removedWords(totals)],
    [facts.kept, totals.keep ? words.keptSnapshots(totals.keep) : undefined],
    [facts.failures, totals.fail ? String(totals.fail) : undefined],
  ];
}
