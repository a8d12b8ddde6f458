// The numbers that say what a prune keeps.

import { NumberInput, Stack, Text } from "@mantine/core";
import { texts } from "../../texts";
import styles from "./content.module.css";
import { KEEP_NAMES, type KeepName, type KeepValues } from "./keep";

const words = texts.content.pruneDialog;

interface KeepFieldsProps {
  values: KeepValues;
  onChange: (values: KeepValues) => void;
  errors?: Readonly<Record<string, string>>;
}

export function KeepFields({ values, onChange, errors = {} }: KeepFieldsProps) {
  const change = (name: KeepName, value: string | number) =>
    onChange({ ...values, [name]: typeof value === "number" ? value : "" });
  return (
    <Stack gap="xs">
      <Text size="sm">{words.meaning}</Text>
      <div className={styles.keep}>
        {KEEP_NAMES.map((name, at) => (
          <NumberInput
            key={name}
            label={words.keep[name]}
            value={values[name]}
            onChange={(value) => change(name, value)}
            min={1}
            max={1_000_000}
            allowDecimal={false}
            allowNegative={false}
            error={errors[name]}
            {...(at === 0 ? { "data-autofocus": true } : {})}
          />
        ))}
      </div>
    </Stack>
  );
}
