// The form for a matcher.

import { Checkbox, MultiSelect, Select } from "@mantine/core";
import { changesOf, withoutEmpty } from "../../api/changes";
import { call, type Data } from "../../api/client";
import { useAnswer } from "../../api/hooks";
import { FormDialog } from "../../parts/dialog";
import { OnceInDialog } from "../../parts/once";
import { texts } from "../../texts";
import { useTargets } from "./data";
import { EntryFields, entryValues, NameField, wrongEntry, type EntryValues } from "./entry-fields";
import { incompleteRule, listsOf, rulesOf, type Rule } from "./rules";
import { RulesField } from "./rules-field";
import { useReadOnly, type StoredProps } from "./target-props";

type Stored = Data<"get", "/config/notifications/matchers/{name}">;

const words = texts.notifications;

type MatcherValues = EntryValues & { rules: Rule[]; mode: "all" | "any"; "invert-match": boolean; target: string[] };

/** The form for a matcher that is there, once it was read. */
export function MatcherEditor({ name, onClose }: { name: string; onClose: () => void }) {
  const answer = useAnswer("/config/notifications/matchers/{name}", { params: { path: { name } } });
  return (
    <OnceInDialog title={words.editMatcher(name)} query={answer} onClose={onClose}>
      {({ data, digest }) => <MatcherForm stored={data} digest={digest} onClose={onClose} />}
    </OnceInDialog>
  );
}

export function MatcherForm({ stored, digest, onClose }: StoredProps<Stored>) {
  const targets = useTargets();
  const readOnly = useReadOnly();
  const before: MatcherValues = {
    ...entryValues(stored),
    rules: rulesOf(stored ?? {}),
    mode: stored?.mode ?? "all",
    "invert-match": stored?.["invert-match"] ?? false,
    target: stored?.target ?? [],
  };
  return (
    <FormDialog<MatcherValues, unknown>
      title={stored ? words.editMatcher(stored.name) : words.addMatcher}
      values={before}
      validate={(values) => {
        const at = incompleteRule(values.rules);
        return { ...wrongEntry(values), ...(at === undefined ? {} : { rules: words.ruleEmpty(at) }) };
      }}
      send={({ name, enable, rules, ...rest }) => {
        const body = { ...rest, ...listsOf(rules) };
        return stored
          ? call("put", "/config/notifications/matchers/{name}", {
              params: { path: { name } },
              body: {
                ...changesOf<typeof body>({ ...stored, mode: before.mode }, body),
                ...(enable === before.enable ? {} : { disable: !enable }),
                ...(digest ? { digest } : {}),
              },
            })
          : call("post", "/config/notifications/matchers", {
              body: { ...withoutEmpty(body), name: name.trim(), ...(enable ? {} : { disable: true }) },
            });
      }}
      fieldOf={{ "match-field": "rules", "match-severity": "rules", "match-calendar": "rules" }}
      refresh={["/config/notifications/matchers", "/config/notifications/matchers/{name}"]}
      done={texts.common.saved}
      {...readOnly}
      {...(stored ? {} : { submit: texts.common.add })}
      size="xl"
      onClose={onClose}
    >
      {(form) => (
        <>
          <NameField form={form} isNew={!stored} />
          <Select
            label={words.mode}
            data={(["all", "any"] as const).map((mode) => ({ value: mode, label: words.modes[mode] }))}
            allowDeselect={false}
            {...form.getInputProps("mode")}
          />
          <RulesField
            rules={form.values.rules}
            onChange={(rules) => form.setFieldValue("rules", rules)}
            error={form.errors.rules}
          />
          <Checkbox
            label={words.invert}
            description={words.invertHint}
            {...form.getInputProps("invert-match", { type: "checkbox" })}
          />
          <MultiSelect
            label={words.targetsField}
            data={[...new Set([...(targets.data?.map((target) => target.name) ?? []), ...form.values.target])]}
            searchable
            {...form.getInputProps("target")}
          />
          <EntryFields form={form} />
        </>
      )}
    </FormDialog>
  );
}
