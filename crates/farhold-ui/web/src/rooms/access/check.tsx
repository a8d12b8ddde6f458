// Asks the server who may do what where, and why.

import { Autocomplete, Button, Group, Select, Stack, Text } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { withoutEmpty } from "../../api/changes";
import { useRead } from "../../api/hooks";
import { usePrivileges } from "../../api/server";
import { Loaded } from "../../parts/failure";
import { Panel } from "../../parts/page";
import { texts } from "../../texts";
import { usePathsWithin } from "./acl-form";
import { CheckResult } from "./check-result";
import { authIdsOf, useRoles, useUsers } from "./data";
import { OwnPrivileges } from "./own-privileges";

const words = texts.access;

type Question = { "auth-id": string; path: string; privilege: string | null };

/** For those who may not ask about others: what they may do themselves. */
export function CheckOrOwn() {
  return usePrivileges()("/access", "Sys.Audit") ? (
    <AccessCheck />
  ) : (
    <Panel title={words.own}>
      <OwnPrivileges />
    </Panel>
  );
}

/** `within`: a path; it and those below are offered. */
export function AccessCheck({ within = "/" }: { within?: string }) {
  const users = useUsers();
  const roles = useRoles();
  const paths = usePathsWithin(within);
  const isWhole = within === "/";
  const form = useForm<Question>({ initialValues: { "auth-id": "", path: isWhole ? "" : within, privilege: null } });
  const [asked, setAsked] = useState<Question>();
  const queries = useQueryClient();
  // Whoever asks the same again wants to know what it is now.
  const ask = (question: Question) => {
    setAsked(question);
    void queries.invalidateQueries({ queryKey: ["/farhold/access/check"] });
  };
  const privileges = [...new Set(roles.data?.flatMap((role) => role.privs))].sort();
  return (
    <Stack gap="md">
      <Text size="sm" c="dimmed">
        {words.check.intro}
      </Text>
      <form aria-label={words.tabs.check} onSubmit={form.onSubmit(ask)}>
        <Group align="flex-end" gap="sm">
          <Autocomplete
            label={words.who}
            description={words.check.whoHint}
            data={authIdsOf(users.data?.data ?? [])}
            autoComplete="off"
            {...form.getInputProps("auth-id")}
          />
          <Autocomplete
            label={words.path}
            description={isWhole ? words.check.pathHint : words.pathHint}
            data={paths}
            {...form.getInputProps("path")}
          />
          <Select
            label={words.check.privilege}
            description={words.check.privilegeHint}
            data={privileges}
            searchable
            clearable
            clearButtonProps={{ "aria-label": texts.common.remove }}
            {...form.getInputProps("privilege")}
          />
          <Button type="submit">{words.check.ask}</Button>
        </Group>
      </form>
      {asked && <Answer asked={asked} />}
    </Stack>
  );
}

function Answer({ asked }: { asked: Question }) {
  const query = withoutEmpty({ ...asked, privilege: asked.privilege ?? "" });
  const answer = useRead("/farhold/access/check", { params: { query } });
  return <Loaded query={answer}>{(found) => <CheckResult found={found} />}</Loaded>;
}
