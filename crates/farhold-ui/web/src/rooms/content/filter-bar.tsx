// What limits the backups that are shown.

import { Button, NativeSelect, TextInput } from "@mantine/core";
import { texts } from "../../texts";
import { NO_FILTERS, type Filters } from "./arrange";

const words = texts.content;

interface FilterBarProps {
  filters: Filters;
  onChange: (filters: Filters) => void;
}

export function FilterBar({ filters, onChange }: FilterBarProps) {
  const isSet = Object.values(filters).some((value) => value !== "");
  return (
    <>
      <TextInput
        size="xs"
        aria-label={words.filterLabel}
        placeholder={words.filterHint}
        value={filters.text}
        onChange={(event) => onChange({ ...filters, text: event.currentTarget.value })}
      />
      <NativeSelect
        size="xs"
        aria-label={words.verification}
        value={filters.verification}
        onChange={(event) =>
          onChange({ ...filters, verification: event.currentTarget.value as Filters["verification"] })
        }
        data={[
          { value: "", label: words.anyVerification },
          ...Object.entries(words.verifications).map(([value, label]) => ({ value, label })),
        ]}
      />
      <NativeSelect
        size="xs"
        aria-label={words.protection}
        value={filters.protection}
        onChange={(event) => onChange({ ...filters, protection: event.currentTarget.value as Filters["protection"] })}
        data={[
          { value: "", label: words.anyProtection },
          { value: "yes", label: words.protected },
          { value: "no", label: words.notProtected },
        ]}
      />
      <NativeSelect
        size="xs"
        aria-label={words.encryption}
        value={filters.crypt}
        onChange={(event) => onChange({ ...filters, crypt: event.currentTarget.value as Filters["crypt"] })}
        data={[
          { value: "", label: words.anyCrypt },
          ...Object.entries(words.crypts).map(([value, label]) => ({
            value,
            label: value === "none" ? words.notEncrypted : label,
          })),
        ]}
      />
      {isSet && (
        <Button size="compact-sm" variant="subtle" onClick={() => onChange(NO_FILTERS)}>
          {words.clearFilter}
        </Button>
      )}
    </>
  );
}
