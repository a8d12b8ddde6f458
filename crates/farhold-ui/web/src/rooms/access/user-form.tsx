// Forms for a new user and for one that is there.

import { Group, Select, Text, TextInput } from "@mantine/core";
import { changesOf, withoutEmpty } from "../../api/changes";
import { call } from "../../api/client";
import { useRead } from "../../api/hooks";
import { FormDialog, type Form } from "../../parts/dialog";
import { texts } from "../../texts";
import { AccountFields, type AccountValues } from "./account";
import type { User } from "./data";
import { expiryOf, expiryText } from "./expiry";
import { PasswordPair, wrongPassword } from "./password-pair";

const words = texts.access;

type PersonValues = AccountValues & { firstname: string; lastname: string; email: string; comment: string };
type NewValues = PersonValues & { name: string; realm: string; password: string; again: string };

const NOBODY: NewValues = {
  name: "",
  realm: "pbs",
  password: "",
  again: "",
  enable: true,
  expire: "",
  firstname: "",
  lastname: "",
  email: "",
  comment: "",
};

/** Realms whose passwords this server keeps. */
const hasPassword = (realm: string): boolean => realm === "pbs";

export function NewUser({ onClose }: { onClose: () => void }) {
  const realms = useRead("/access/domains");
  const names = realms.data?.map((realm) => realm.realm) ?? [NOBODY.realm];
  return (
    <FormDialog<NewValues, unknown>
      title={words.addUser}
      values={NOBODY}
      validate={(values) => ({
        ...(values.name.trim() === "" ? { name: texts.common.required } : {}),
        ...(hasPassword(values.realm) ? wrongPassword(values) : {}),
      })}
      send={({ name, realm, password, again: _, expire, enable, ...person }) =>
        call("post", "/access/users", {
          body: {
            userid: `${name.trim()}@${realm}`,
            ...withoutEmpty(person),
            ...(hasPassword(realm) ? { password } : {}),
            ...(enable ? {} : { enable }),
            ...(expire ? { expire: expiryOf(expire) } : {}),
          },
        })
      }
      fieldOf={{ userid: "name" }}
      refresh={["/access/users"]}
      done={texts.common.saved}
      submit={texts.common.add}
      onClose={onClose}
    >
      {(form) => (
        <>
          <Group grow align="flex-start">
            <TextInput
              label={words.userName}
              description={words.nameHint}
              autoComplete="off"
              data-autofocus
              withAsterisk
              {...form.getInputProps("name")}
            />
            <Select
              label={words.realm}
              description={words.realmHint}
              data={names}
              allowDeselect={false}
              {...form.getInputProps("realm")}
            />
          </Group>
          {hasPassword(form.values.realm) ? (
            <PasswordPair form={form} />
          ) : (
            <Text size="sm">{words.systemPassword}</Text>
          )}
          <PersonFields form={form} />
        </>
      )}
    </FormDialog>
  );
}

interface UserFormProps {
  user: User;
  /** State of the configuration in which `user` was read. */
  digest: string | undefined;
  onClose: () => void;
}

export function UserForm({ user, digest, onClose }: UserFormProps) {
  const { firstname = "", lastname = "", email = "", comment = "", enable: isEnabled = true, expire: end = 0 } = user;
  return (
    <FormDialog<PersonValues, unknown>
      title={words.editUser(user.userid)}
      values={{ firstname, lastname, email, comment, enable: isEnabled, expire: expiryText(end) }}
      send={({ enable, expire, ...person }) => {
        const newEnd = expiryOf(expire, end);
        return call("put", "/access/users/{userid}", {
          params: { path: { userid: user.userid } },
          body: {
            ...changesOf<typeof person>({ firstname, lastname, email, comment }, person),
            ...(enable === isEnabled ? {} : { enable }),
            ...(newEnd === end ? {} : { expire: newEnd }),
            ...(digest ? { digest } : {}),
          },
        });
      }}
      refresh={["/access/users"]}
      done={texts.common.saved}
      onClose={onClose}
    >
      {(form) => <PersonFields form={form} />}
    </FormDialog>
  );
}

function PersonFields<Values extends PersonValues>({ form }: { form: Form<Values> }) {
  return (
    <>
      <AccountFields form={form} />
      <Group grow align="flex-start">
        <TextInput label={words.firstName} autoComplete="off" {...form.getInputProps("firstname")} />
        <TextInput label={words.lastName} autoComplete="off" {...form.getInputProps("lastname")} />
      </Group>
      <TextInput label={words.email} type="email" autoComplete="off" {...form.getInputProps("email")} />
      <TextInput label={texts.common.comment} autoComplete="off" {...form.getInputProps("comment")} />
    </>
  );
}
