// Who gets mail, and whom it comes from.

import { Group, MultiSelect, TagsInput, TextInput } from "@mantine/core";
import { useRead } from "../../api/hooks";
import type { Form } from "../../parts/dialog";
import { texts } from "../../texts";

const words = texts.notifications.mail;

export type MailValues = { "mailto-user": string[]; mailto: string[]; "from-address": string; author: string };

interface StoredMail {
  "mailto-user"?: string[];
  mailto?: string[];
  "from-address"?: string;
  author?: string;
}

/** Returns the values of a mail target, or those that a new one begins with. */
export function mailValues(stored?: StoredMail): MailValues {
  return {
    "mailto-user": stored?.["mailto-user"] ?? [],
    mailto: stored?.mailto ?? [],
    "from-address": stored?.["from-address"] ?? "",
    author: stored?.author ?? "",
  };
}

/** Returns what is wrong with them. */
export function wrongMail(values: MailValues): { "mailto-user"?: string } {
  return values["mailto-user"].length + values.mailto.length === 0 ? { "mailto-user": words.needed } : {};
}

interface MailFieldsProps<Values extends Record<string, unknown>> {
  form: Form<Values>;
  needsFrom: boolean;
}

export function MailFields<Values extends MailValues>({ form, needsFrom }: MailFieldsProps<Values>) {
  const users = useRead("/access/users", { params: { query: {} } });
  const known = users.data?.map((user) => user.userid) ?? [];
  return (
    <>
      <MultiSelect
        label={words.users}
        description={words.usersHint}
        data={[...new Set([...known, ...form.values["mailto-user"]])]}
        searchable
        {...form.getInputProps("mailto-user")}
      />
      <TagsInput
        label={words.addresses}
        description={words.addressesHint}
        acceptValueOnBlur
        {...form.getInputProps("mailto")}
      />
      <Group grow align="flex-start">
        <TextInput
          label={words.from}
          type="email"
          autoComplete="off"
          required={needsFrom}
          {...form.getInputProps("from-address")}
        />
        <TextInput label={words.author} autoComplete="off" {...form.getInputProps("author")} />
      </Group>
    </>
  );
}
