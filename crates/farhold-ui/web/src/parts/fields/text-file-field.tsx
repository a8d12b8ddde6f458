// A text that is pasted or taken from a file, such as a certificate or a key.

import { Button, FileButton, Group, Text, Textarea } from "@mantine/core";
import { useState } from "react";
import { texts } from "../../texts";
import type { Form } from "../dialog";

/** Longest file that is read, in bytes; chains of certificates are far below. */
const MAX_BYTES = 512 * 1024;

interface TextFileFieldProps<Values extends Record<string, unknown>> {
  form: Form<Values>;
  /** Name of the form's field. */
  name: keyof Values & string;
  label: string;
  description?: string;
  placeholder?: string;
  /** What the file chooser offers, such as `.pem,.crt`. */
  accept?: string;
  required?: boolean;
  rows?: number;
}

/** A field for the content of a small text file. */
export function TextFileField<Values extends Record<string, unknown>>({
  form,
  name,
  label,
  description,
  placeholder,
  accept,
  required = false,
  rows = 6,
}: TextFileFieldProps<Values>) {
  const [fileName, setFileName] = useState("");
  const take = async (file: File | null) => {
    if (!file) return;
    if (file.size > MAX_BYTES) return form.setFieldError(name, texts.common.fileTooLong);
    // The library's type of a value cannot be resolved for a type that is not known yet.
    (form.setFieldValue as (path: string, value: string) => void)(name, await file.text());
    form.clearFieldError(name);
    setFileName(file.name);
  };
  return (
    <div>
      <Textarea
        label={label}
        description={description}
        placeholder={placeholder}
        required={required}
        minRows={rows}
        maxRows={rows}
        autosize
        spellCheck={false}
        autoComplete="off"
        styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: "0.75rem" } }}
        {...form.getInputProps(name)}
      />
      <Group gap="xs" mt={6}>
        <FileButton
          onChange={(file) => void take(file)}
          inputProps={{ "aria-label": `${texts.common.chooseFile}: ${label}` }}
          {...(accept ? { accept } : {})}
        >
          {(props) => (
            <Button {...props} size="compact-sm" variant="default" aria-label={`${texts.common.chooseFile}: ${label}`}>
              {texts.common.chooseFile}
            </Button>
          )}
        </FileButton>
        {fileName && (
          <Text size="xs" c="dimmed" role="status">
            {fileName}
          </Text>
        )}
      </Group>
    </div>
  );
}
