// The form for an entry of the access control list.

import { Autocomplete, Checkbox, Select, Text } from "@mantine/core";
import { call } from "../../api/client";
import { useRead } from "../../api/hooks";
import { useDatastores, usePrivileges } from "../../api/server";
import { useUser } from "../../api/session";
import { FormDialog } from "../../parts/dialog";
import { texts } from "../../texts";
import { isWithin, knownPaths } from "./acl";
import { authIdsOf, useAcl, useRoles, userOf, useUsers, type Entry } from "./data";

const words = texts.access;

interface AclFormProps {
  /** Path to begin with; paths below it are offered. */
  path: string;
  /** What is changed; a new entry if absent. */
  entry?: Entry;
  onClose: () => void;
}

export function AclForm({ path, entry, onClose }: AclFormProps) {
  const roles = useRoles();
  const paths = usePathsWithin(path);
  const who = useWhoCanGet();
  return (
    <FormDialog
      title={entry ? words.editPermission : words.addPermission}
      values={{
        path,
        "auth-id": entry?.ugid ?? "",
        role: entry?.roleid ?? "",
        propagate: entry?.propagate ?? true,
      }}
      validate={(values) => ({
        ...(values.path ? {} : { path: texts.common.required }),
        ...(values["auth-id"] ? {} : { "auth-id": texts.common.required }),
        ...(values.role ? {} : { role: texts.common.required }),
      })}
      send={async (values) => {
        await call("put", "/access/acl", { body: values });
        // The API knows adding and removing only: another role is a new entry, and the former one goes.
        if (entry && entry.roleid !== values.role && values.role !== "NoAccess" && entry.roleid !== "NoAccess") {
          await call("put", "/access/acl", {
            body: { path: entry.path, "auth-id": entry.ugid, role: entry.roleid, delete: true },
          });
        }
      }}
      refresh={["/access/acl", "/access/permissions", "/farhold/access/check"]}
      done={words.permissionSaved}
      onClose={onClose}
    >
      {(form) => (
        <>
          <Autocomplete
            label={words.path}
            description={words.pathHint}
            data={paths}
            withAsterisk
            readOnly={entry !== undefined}
            {...form.getInputProps("path")}
          />
          <Autocomplete
            label={words.who}
            data={who}
            withAsterisk
            readOnly={entry !== undefined}
            autoComplete="off"
            {...form.getInputProps("auth-id")}
          />
          <Select
            label={words.role}
            description={roles.data?.find((role) => role.roleid === form.values.role)?.comment}
            data={roles.data?.map((role) => role.roleid) ?? []}
            searchable
            allowDeselect={false}
            withAsterisk
            {...form.getInputProps("role")}
          />
          <Checkbox
            label={words.propagate}
            description={words.propagateHint}
            {...form.getInputProps("propagate", { type: "checkbox" })}
          />
          <Text size="sm" c="dimmed">
            {words.replacesHint}
          </Text>
        </>
      )}
    </FormDialog>
  );
}

/** The paths to choose from, namespaces too if `top` is that of a datastore. */
export function usePathsWithin(top: string): string[] {
  const stores = useDatastores();
  const remotes = useRead("/config/remote");
  const acl = useAcl();
  const [, kind, store = ""] = top.split("/");
  const namespaces = useRead(
    "/admin/datastore/{store}/namespace",
    { params: { path: { store } } },
    { enabled: kind === "datastore" && store !== "" },
  );
  const all = knownPaths({
    stores: stores.data?.map((entry) => entry.store) ?? [],
    remotes: remotes.data?.map((remote) => remote.name) ?? [],
    entries: acl.data?.data ?? [],
  });
  const below = namespaces.data?.filter(({ ns }) => ns).map(({ ns }) => `/datastore/${store}/${ns}`) ?? [];
  return [...new Set([...all, ...below])].filter((path) => isWithin(path, top)).sort();
}

/** Whom the user may give permissions: everybody, or the own API tokens. */
function useWhoCanGet(): string[] {
  const users = useUsers();
  const me = useUser();
  const may = usePrivileges();
  const all = authIdsOf(users.data?.data ?? []);
  return may("/access/acl", "Permissions.Modify") ? all : all.filter((id) => id !== me && userOf(id) === me);
}
