// A list of names with values: headers or secrets of a webhook.

import { Button, CloseButton, Fieldset, Group, Input, PasswordInput, Stack, Text, TextInput } from "@mantine/core";
import type { ReactNode } from "react";
import { texts } from "../../texts";
import type { NamedValue } from "./named-values";

const words = texts.notifications.webhook;

interface NamedValuesFieldProps {
  title: string;
  hint?: string;
  /** What one of them is called. */
  what: string;
  add: string;
  values: readonly NamedValue[];
  onChange: (values: NamedValue[]) => void;
  error?: ReactNode;
  isSecret?: boolean;
}

export function NamedValuesField(props: NamedValuesFieldProps) {
  const { title, hint, what, add, values, onChange, error, isSecret = false } = props;
  const change = (at: number, part: Partial<NamedValue>) =>
    onChange(values.map((one, index) => (index === at ? { ...one, ...part } : one)));
  return (
    <Fieldset legend={title} p="sm">
      <Stack gap="xs">
        {hint && (
          <Text size="xs" c="dimmed">
            {hint}
          </Text>
        )}
        {values.map((one, at) => (
          <Group key={at} gap="xs" wrap="nowrap" align="flex-start">
            <TextInput
              aria-label={words.valueName(what, at + 1)}
              placeholder={texts.common.name}
              value={one.name}
              onChange={(event) => change(at, { name: event.currentTarget.value })}
              // The value that the server keeps belongs to this name.
              readOnly={one.isStored}
              autoComplete="off"
              flex={1}
            />
            {isSecret ? (
              <PasswordInput
                aria-label={words.value(what, at + 1)}
                {...(one.isStored ? { placeholder: words.stored } : {})}
                value={one.value}
                onChange={(event) => change(at, { value: event.currentTarget.value })}
                autoComplete="new-password"
                visibilityToggleButtonProps={{
                  "aria-label": texts.common.showSecret(words.value(what, at + 1)),
                  tabIndex: 0,
                }}
                flex={2}
              />
            ) : (
              <TextInput
                aria-label={words.value(what, at + 1)}
                value={one.value}
                onChange={(event) => change(at, { value: event.currentTarget.value })}
                autoComplete="off"
                flex={2}
              />
            )}
            <CloseButton
              aria-label={words.removeValue(what, at + 1)}
              onClick={() => onChange(values.filter((_, index) => index !== at))}
            />
          </Group>
        ))}
        {error && <Input.Error role="alert">{error}</Input.Error>}
        <Group>
          <Button
            size="xs"
            variant="default"
            onClick={() => onChange([...values, { name: "", value: "", isStored: false }])}
          >
            {add}
          </Button>
        </Group>
      </Stack>
    </Fieldset>
  );
}
