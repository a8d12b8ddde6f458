// The probe of a configured remote, also of one of its datastores.

import { Button, Group, Loader, Select, Stack, Text, TextInput } from "@mantine/core";
import { useState } from "react";
import { call } from "../../api/client";
import { useAct, type Data } from "../../api/hooks";
import { useQuery } from "@tanstack/react-query";
import type { ApiFailure } from "../../api/failure";
import { Dialog } from "../../parts/dialog";
import { Failure } from "../../parts/failure";
import { texts } from "../../texts";
import { ProbeReport } from "./probe-report";
import type { Remote } from "./values";

const words = texts.remotes.probe;

interface ProbeDialogProps {
  remote: Remote;
  digest: string | undefined;
  mayChange: boolean;
  onClose: () => void;
}

interface Question {
  store: string | null;
  ns: string;
}

export function ProbeDialog({ remote, digest, mayChange, onClose }: ProbeDialogProps) {
  const [typed, setTyped] = useState<Question>({ store: null, ns: "" });
  const [asked, setAsked] = useState<Question>(typed);
  const [expected, setExpected] = useState(remote.fingerprint);
  // A probe changes nothing, so it is a question although it is posted.
  const report = useQuery<Data<"post", "/farhold/remotes/probe">, ApiFailure>({
    queryKey: ["/farhold/remotes/probe", remote.name, asked],
    queryFn: async () => {
      const place = asked.store ? { "remote-store": asked.store, ...(asked.ns ? { "remote-ns": asked.ns } : {}) } : {};
      return (await call("post", "/farhold/remotes/probe", { body: { remote: remote.name, ...place } })).data;
    },
    staleTime: 0,
    gcTime: 0,
    retry: false,
    refetchOnWindowFocus: false,
    placeholderData: (before) => before,
  });
  const take = useAct(
    (fingerprint: string) =>
      call("put", "/config/remote/{name}", {
        params: { path: { name: remote.name } },
        body: { fingerprint, ...(digest === undefined ? {} : { digest }) },
      }).then(() => fingerprint),
    {
      refresh: ["/config/remote"],
      done: texts.remotes.take.done,
      onDone: (fingerprint) => {
        setExpected(fingerprint);
        void report.refetch();
      },
    },
  );
  const again = () => {
    if (typed.store === asked.store && typed.ns === asked.ns) void report.refetch();
    else setAsked(typed);
  };
  return (
    <Dialog title={words.title(remote.name)} onClose={onClose} size="xl">
      <Stack gap="md">
        <Text size="sm" c="dimmed">
          {words.hint}
        </Text>
        <Group align="flex-end">
          <Select
            flex="1 1 14rem"
            label={words.store}
            description={words.storeHint}
            data={report.data?.datastores ?? []}
            value={typed.store}
            onChange={(store) => setTyped({ ...typed, store })}
            searchable
            clearable
            clearButtonProps={{ "aria-label": texts.common.clear }}
          />
          <TextInput
            flex="1 1 10rem"
            label={words.namespace}
            value={typed.ns}
            disabled={typed.store === null}
            onChange={(event) => setTyped({ ...typed, ns: event.currentTarget.value })}
          />
          <Button loading={report.isFetching} onClick={again} flex="0 0 auto">
            {words.again}
          </Button>
        </Group>
        {report.isFetching && (
          <Group gap="xs" role="status">
            <Loader size="xs" aria-hidden />
            <Text size="sm">{words.running}</Text>
          </Group>
        )}
        {!report.isFetching && <Failure error={report.error} />}
        {report.data && !report.isFetching && (
          <ProbeReport
            report={report.data}
            expected={expected}
            isTaking={take.isPending}
            {...(mayChange ? { onTake: (fingerprint: string) => take.mutate(fingerprint) } : {})}
          />
        )}
      </Stack>
    </Dialog>
  );
}
