// Forms for a new API token and for one that is there.

import { Group, Select, TextInput } from "@mantine/core";
import { changesOf } from "../../api/changes";
import { call } from "../../api/client";
import { useUser } from "../../api/session";
import { FormDialog } from "../../parts/dialog";
import { texts } from "../../texts";
import { AccountFields } from "./account";
import type { Token } from "./data";
import { expiryOf, expiryText } from "./expiry";
import type { Secret } from "./secret";

const words = texts.access;

/** Returns the parts of a token's ID as addresses need them. */
export function tokenPath(tokenid: string): { userid: string; "token-name": string } {
  const at = tokenid.indexOf("!");
  return { userid: tokenid.slice(0, at), "token-name": tokenid.slice(at + 1) };
}

interface NewTokenProps {
  /** Users who may get one. */
  users: readonly string[];
  onMade: (secret: Secret) => void;
  onClose: () => void;
}

export function NewToken({ users, onMade, onClose }: NewTokenProps) {
  const me = useUser();
  return (
    <FormDialog
      title={words.addToken}
      values={{ userid: me, name: "", enable: true, expire: "", comment: "" }}
      validate={({ name }) => (name.trim() === "" ? { name: texts.common.required } : {})}
      send={({ userid, name, enable, expire, comment }) =>
        call("post", "/access/users/{userid}/token/{token-name}", {
          params: { path: { userid, "token-name": name.trim() } },
          body: {
            ...(comment ? { comment } : {}),
            ...(enable ? {} : { enable }),
            ...(expire ? { expire: expiryOf(expire) } : {}),
          },
        })
      }
      fieldOf={{ "token-name": "name" }}
      refresh={["/access/users"]}
      submit={texts.common.add}
      onDone={({ data }) => onMade({ tokenid: data.tokenid, value: data.value, isNew: true })}
      onClose={onClose}
    >
      {(form) => (
        <>
          <Group grow align="flex-start">
            <Select
              label={words.user}
              data={users}
              searchable
              allowDeselect={false}
              withAsterisk
              {...form.getInputProps("userid")}
            />
            <TextInput
              label={words.tokenName}
              description={words.tokenNameHint}
              inputWrapperOrder={["label", "input", "description", "error"]}
              autoComplete="off"
              data-autofocus
              withAsterisk
              {...form.getInputProps("name")}
            />
          </Group>
          <AccountFields form={form} />
          <TextInput label={texts.common.comment} autoComplete="off" {...form.getInputProps("comment")} />
        </>
      )}
    </FormDialog>
  );
}

interface TokenFormProps {
  token: Token;
  /** State of the configuration in which `token` was read. */
  digest: string | undefined;
  onClose: () => void;
}

export function TokenForm({ token, digest, onClose }: TokenFormProps) {
  const { comment: note = "", enable: isEnabled = true, expire: end = 0 } = token;
  return (
    <FormDialog
      title={words.editToken(token.tokenid)}
      values={{ comment: note, enable: isEnabled, expire: expiryText(end) }}
      send={({ comment, enable, expire }) => {
        const newEnd = expiryOf(expire, end);
        return call("put", "/access/users/{userid}/token/{token-name}", {
          params: { path: tokenPath(token.tokenid) },
          body: {
            ...changesOf({ comment: note }, { comment }),
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
      {(form) => (
        <>
          <AccountFields form={form} />
          <TextInput label={texts.common.comment} autoComplete="off" {...form.getInputProps("comment")} />
        </>
      )}
    </FormDialog>
  );
}
