// The group filters of a job, one in each line, with what they take of the source's groups.

import { Autocomplete, Button, Group, Input, Select, Stack, Text, TextInput } from "@mantine/core";
import type { Form } from "../../../parts/dialog";
import { texts } from "../../../texts";
import { formatFilter, parseFilter, type GroupFilter, type Matcher } from "./group-filter";
import { GroupMatches } from "./group-matches";
import { sourceOf, useGroupsOf } from "./sides";
import type { SyncValues } from "./values";

const words = texts.syncEditor;

type Props = { form: Form<SyncValues> };

export function GroupFilterFields({ form }: Props) {
  const filters = form.values["group-filter"];
  return (
    <Stack gap="sm">
      <Text size="sm">{filters.length === 0 ? words.filtersNone : words.filtersRule}</Text>
      {filters.map((filter, index) => (
        // A filter has no name: its place is what tells it from others.
        <FilterLine key={index} form={form} index={index} filter={parseFilter(filter)} />
      ))}
      {form.errors["group-filter"] && !filters.some((_, index) => form.errors[`group-filter.${index}`]) && (
        <Input.Error role="alert">{form.errors["group-filter"]}</Input.Error>
      )}
      <Group>
        <Button
          size="compact-sm"
          variant="default"
          onClick={() =>
            form.insertListItem("group-filter", formatFilter({ isExclude: false, matcher: "type", value: "vm" }))
          }
        >
          {words.addFilter}
        </Button>
      </Group>
      <GroupMatches source={sourceOf(form.values)} filters={filters} />
    </Stack>
  );
}

interface FilterLineProps extends Props {
  index: number;
  filter: GroupFilter;
}

function FilterLine({ form, index, filter }: FilterLineProps) {
  const number = index + 1;
  const path = `group-filter.${index}`;
  const set = (change: Partial<GroupFilter>) => {
    form.clearFieldError("group-filter");
    form.setFieldValue(path, formatFilter({ ...filter, ...change }));
  };
  return (
    <Group gap="xs" align="flex-start" role="group" aria-label={words.filter(number)}>
      <Select
        w="7rem"
        aria-label={words.filterSign(number)}
        allowDeselect={false}
        data={[
          { value: "include", label: words.include },
          { value: "exclude", label: words.exclude },
        ]}
        value={filter.isExclude ? "exclude" : "include"}
        onChange={(value) => set({ isExclude: value === "exclude" })}
      />
      <Select
        w="11rem"
        aria-label={words.filterMatcher(number)}
        allowDeselect={false}
        data={(Object.keys(words.matcher) as Matcher[]).map((value) => ({ value, label: words.matcher[value] }))}
        value={filter.matcher}
        onChange={(value) => set({ matcher: (value ?? "type") as Matcher, value: value === "type" ? "vm" : "" })}
      />
      <ValueField
        form={form}
        number={number}
        filter={filter}
        error={form.errors[path]}
        onChange={(value) => set({ value })}
      />
      <Button
        size="sm"
        variant="default"
        aria-label={words.removeFilter(number)}
        onClick={() => form.removeListItem("group-filter", index)}
      >
        {texts.common.remove}
      </Button>
    </Group>
  );
}

interface ValueFieldProps extends Props {
  number: number;
  filter: GroupFilter;
  error: React.ReactNode;
  onChange: (value: string) => void;
}

function ValueField({ form, number, filter, error, onChange }: ValueFieldProps) {
  const source = sourceOf(form.values);
  const groups = useGroupsOf(source, source.ns);
  const common = { flex: 1, miw: "10rem", "aria-label": words.filterValue(number), error };
  switch (filter.matcher) {
    case "type":
      return (
        <Select
          {...common}
          allowDeselect={false}
          data={Object.entries(words.types).map(([value, label]) => ({ value, label }))}
          value={filter.value}
          onChange={(value) => onChange(value ?? "vm")}
        />
      );
    case "group":
      return (
        <Autocomplete
          {...common}
          placeholder={words.groupExample}
          data={[...new Set(groups.data?.map((group) => `${group["backup-type"]}/${group["backup-id"]}`))]}
          limit={100}
          value={filter.value}
          onChange={onChange}
        />
      );
    case "regex":
      return (
        <TextInput
          {...common}
          placeholder={words.regexExample}
          autoComplete="off"
          spellCheck={false}
          value={filter.value}
          onChange={(event) => onChange(event.currentTarget.value)}
        />
      );
  }
}
