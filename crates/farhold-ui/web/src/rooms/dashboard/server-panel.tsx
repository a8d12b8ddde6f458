// What the server is and how its host does.

import { Progress, Text } from "@mantine/core";
import type { Data } from "../../api/client";
import { useRead } from "../../api/hooks";
import { NODE, usePrivileges } from "../../api/server";
import { bytes, percent } from "../../format/bytes";
import { date, span } from "../../format/time";
import { Facts } from "../../parts/facts";
import { Loaded } from "../../parts/failure";
import { Columns, Panel } from "../../parts/page";
import { State } from "../../parts/state";
import { useNow } from "../../parts/when";
import { texts } from "../../texts";
import { HostHistoryButton } from "./host-history";
import { useHost } from "./use-host";

const words = texts.dashboard.server;

const node = { params: { path: { node: NODE } } };
/** A certificate that ends within that time is worth a warning. */
const SOON_SECONDS = 30 * 86400;

export function ServerPanel() {
  const version = useRead("/version");
  const nodes = useRead("/nodes");
  const host = useHost();
  const end = useCertificateEnd();
  const isHidden = host.fetchStatus === "idle" && host.data === undefined && !host.error;
  return (
    <Panel title={words.title} actions={host.data && <HostHistoryButton />}>
      <Loaded query={version}>
        {(known) => (
          <Columns>
            <Facts
              rows={[
                [words.version, `${known.version}.${known.release}`],
                [words.program, known.repoid],
                [words.node, nodes.data?.map((entry) => entry.node).join(", ")],
                [words.certificate, end !== undefined && <CertificateEnd key="certificate" end={end} />],
                [words.uptime, host.data?.uptime === undefined ? undefined : span(host.data.uptime)],
                [words.kernel, host.data?.kversion],
              ]}
            />
            {host.data && <Facts rows={hostRows(host.data)} />}
          </Columns>
        )}
      </Loaded>
      {host.error && <Loaded query={host}>{() => null}</Loaded>}
      {isHidden && (
        <Text size="xs" c="dimmed" mt="xs">
          {words.hidden}
        </Text>
      )}
    </Panel>
  );
}

type Host = Data<"get", "/nodes/{node}/status">;

function hostRows(host: Host) {
  const { cpuinfo, loadavg } = host;
  return [
    [
      words.processor,
      <Gauge key="cpu" label={words.processor} share={host.cpu}>
        {cpuinfo && words.processors(cpuinfo.cpus, cpuinfo.model)}
      </Gauge>,
    ],
    [words.wait, host.wait === undefined ? undefined : percent(host.wait)],
    [words.load, loadavg?.map((load) => load.toFixed(2)).join(" · ")],
    [words.memory, <Room key="memory" label={words.memory} {...host.memory} />],
    [words.swap, host.swap?.total ? <Room key="swap" label={words.swap} {...host.swap} /> : undefined],
    [words.root, <Room key="root" label={words.root} {...host.root} />],
  ] as const;
}

function Room({ label, used, total }: { label: string; used?: number; total?: number }) {
  if (used === undefined || !total) return "–";
  return (
    <Gauge label={label} share={used / total}>
      {words.usedOf(bytes(used), bytes(total))}
    </Gauge>
  );
}

function Gauge({ label, share, children }: { label: string; share: number | undefined; children?: React.ReactNode }) {
  if (share === undefined) return children ?? "–";
  return (
    <>
      {percent(share)}
      {children && (
        <Text span size="xs" c="dimmed">
          {" "}
          {children}
        </Text>
      )}
      <Progress.Root size="sm">
        <Progress.Section value={share * 100} aria-label={label} />
      </Progress.Root>
    </>
  );
}

/** When the certificate ends; only known to those who may change it. */
function useCertificateEnd(): number | undefined {
  const isAllowed = usePrivileges()("/system/certificates", "Sys.Modify");
  const certificates = useRead("/nodes/{node}/certificates/info", node, { enabled: isAllowed });
  return certificates.data?.[0]?.notafter;
}

function CertificateEnd({ end }: { end: number }) {
  const now = useNow();
  return (
    <>
      {date(end)}{" "}
      {end < now ? (
        <State tone="bad">{words.expired}</State>
      ) : end - now < SOON_SECONDS ? (
        <State tone="warning">{words.expires}</State>
      ) : null}
    </>
  );
}
