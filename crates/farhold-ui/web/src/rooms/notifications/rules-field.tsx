// The rules of a matcher, one below the other.

import {
  Autocomplete,
  Button,
  CloseButton,
  Fieldset,
  Group,
  Input,
  MultiSelect,
  Select,
  Stack,
  TagsInput,
  Text,
  TextInput,
} from "@mantine/core";
import type { ReactNode } from "react";
import { useRead } from "../../api/hooks";
import { texts } from "../../texts";
import { blankRule, SEVERITIES, type Rule, type RuleKind } from "./rules";

const words = texts.notifications;

const KINDS: readonly RuleKind[] = ["exact", "regex", "severity", "calendar"];

interface RulesFieldProps {
  rules: readonly Rule[];
  onChange: (rules: Rule[]) => void;
  error?: ReactNode;
}

export function RulesField({ rules, onChange, error }: RulesFieldProps) {
  return (
    <Fieldset legend={words.rules} p="sm">
      <Stack gap="xs">
        {rules.length === 0 && (
          <Text size="sm" c="dimmed">
            {words.noRules}
          </Text>
        )}
        {rules.map((rule, index) => {
          const at = index + 1;
          const change = (next: Rule) => onChange(rules.map((one, other) => (other === index ? next : one)));
          return (
            <Group key={index} gap="xs" align="flex-start" role="group" aria-label={words.rule(at)}>
              <Select
                aria-label={words.ruleKind(at)}
                data={KINDS.map((kind) => ({ value: kind, label: words.ruleKinds[kind] }))}
                value={rule.kind}
                onChange={(kind) => kind && change(blankRule(kind as RuleKind, rule))}
                allowDeselect={false}
                w="11rem"
              />
              <RuleFields rule={rule} at={at} onChange={change} />
              <CloseButton
                aria-label={words.removeRule(at)}
                onClick={() => onChange(rules.filter((_, other) => other !== index))}
              />
            </Group>
          );
        })}
        {error && <Input.Error role="alert">{error}</Input.Error>}
        <Group>
          <Button size="xs" variant="default" onClick={() => onChange([...rules, blankRule("exact")])}>
            {words.addRule}
          </Button>
        </Group>
      </Stack>
    </Fieldset>
  );
}

interface RuleFieldsProps {
  rule: Rule;
  /** Its place, from 1. */
  at: number;
  onChange: (rule: Rule) => void;
}

/** What a rule consists of besides its kind. */
function RuleFields({ rule, at, onChange }: RuleFieldsProps) {
  switch (rule.kind) {
    case "severity":
      return (
        <MultiSelect
          aria-label={words.ruleValues(at)}
          data={SEVERITIES.map((severity) => ({ value: severity, label: words.severities[severity] }))}
          value={rule.values}
          onChange={(values) => onChange({ ...rule, values })}
          searchable
          flex="1 1 12rem"
        />
      );
    case "calendar":
      return (
        <TextInput
          aria-label={words.ruleWindow(at)}
          description={words.windowHint}
          inputWrapperOrder={["input", "description"]}
          value={rule.window}
          onChange={(event) => onChange({ ...rule, window: event.currentTarget.value })}
          flex="1 1 12rem"
        />
      );
    default:
      return <FieldRule rule={rule} at={at} onChange={onChange} />;
  }
}

interface FieldRuleProps extends RuleFieldsProps {
  rule: Extract<Rule, { field: string }>;
}

function FieldRule({ rule, at, onChange }: FieldRuleProps) {
  const fields = useRead("/config/notifications/matcher-fields");
  const values = useRead("/config/notifications/matcher-field-values");
  const known = values.data?.filter((one) => one.field === rule.field).map((one) => one.value) ?? [];
  return (
    <>
      <Autocomplete
        aria-label={words.ruleField(at)}
        data={fields.data?.map((field) => field.name) ?? []}
        value={rule.field}
        onChange={(field) => onChange({ ...rule, field })}
        w="9rem"
      />
      {rule.kind === "exact" ? (
        <TagsInput
          aria-label={words.ruleValues(at)}
          data={[...new Set(known)]}
          value={rule.values}
          onChange={(chosen) => onChange({ ...rule, values: chosen })}
          acceptValueOnBlur
          flex="1 1 12rem"
        />
      ) : (
        <TextInput
          aria-label={words.rulePattern(at)}
          value={rule.pattern}
          onChange={(event) => onChange({ ...rule, pattern: event.currentTarget.value })}
          spellCheck={false}
          flex="1 1 12rem"
        />
      )}
    </>
  );
}
