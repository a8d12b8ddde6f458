// A password or secret of another system. Browsers are told not to fill it in or keep it.

import { PasswordInput } from "@mantine/core";
import { texts } from "../../texts";
import type { Form } from "../dialog";

interface SecretFieldProps<Values extends Record<string, unknown>> {
  form: Form<Values>;
  /** Name of the form's field. */
  name: keyof Values & string;
  label: string;
  description?: string;
  placeholder?: string;
  required?: boolean;
}

/** A field whose text is hidden until its button is pressed. */
export function SecretField<Values extends Record<string, unknown>>({ form, name, ...rest }: SecretFieldProps<Values>) {
  return (
    <PasswordInput
      autoComplete="new-password"
      visibilityToggleButtonProps={{ "aria-label": texts.common.showSecret(rest.label), tabIndex: 0 }}
      {...rest}
      {...form.getInputProps(name)}
    />
  );
}
