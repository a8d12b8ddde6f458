// A whole number that may be left out; the form holds a text.

import { NumberInput } from "@mantine/core";
import type { Form } from "../../../parts/dialog";
import type { SyncValues } from "./values";

interface CountFieldProps {
  form: Form<SyncValues>;
  name: "transfer-last" | "worker-threads";
  label: string;
  description: string;
  placeholder: string;
  max?: number;
}

export function CountField({ form, name, max, ...words }: CountFieldProps) {
  const { onChange, ...input } = form.getInputProps(name);
  return (
    <NumberInput
      {...words}
      min={1}
      {...(max === undefined ? {} : { max })}
      allowDecimal={false}
      allowNegative={false}
      {...input}
      onChange={(value) => onChange(String(value))}
    />
  );
}
