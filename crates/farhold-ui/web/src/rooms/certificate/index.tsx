// The certificate that this server shows to clients, other servers and browsers.

import { Button, Text } from "@mantine/core";
import { useState } from "react";
import { call, type Item } from "../../api/client";
import { useRead } from "../../api/hooks";
import { CALM_SECONDS, NODE, usePrivileges } from "../../api/server";
import { dateTime, nowSeconds } from "../../format/time";
import { Copyable } from "../../parts/copy";
import { RemovalDialog } from "../../parts/dialog";
import { Facts } from "../../parts/facts";
import { Loaded } from "../../parts/failure";
import { Page, Panel } from "../../parts/page";
import { saveText } from "../../parts/save-text";
import { State } from "../../parts/state";
import { texts } from "../../texts";
import { Upload } from "./upload";
import { validityOf } from "./validity";

const words = texts.certificate;

type Info = Item<"/nodes/{node}/certificates/info">;

export default function Certificate() {
  const infos = useRead(
    "/nodes/{node}/certificates/info",
    { params: { path: { node: NODE } } },
    { every: CALM_SECONDS },
  );
  const mayChange = usePrivileges()("/system/certificates", "Sys.Modify");
  const [open, setOpen] = useState<"upload" | "back">();
  const close = () => setOpen(undefined);
  return (
    <Page
      title={texts.shell.certificate}
      actions={
        <>
          <Button variant="default" disabled={!mayChange} onClick={() => setOpen("back")}>
            {words.back}
          </Button>
          <Button disabled={!mayChange} onClick={() => setOpen("upload")}>
            {words.upload}
          </Button>
        </>
      }
    >
      <Loaded query={infos}>
        {(list) => (
          <>
            {list.map((info) => (
              <CertificatePanel key={info.filename} info={info} />
            ))}
          </>
        )}
      </Loaded>
      {open === "upload" && <Upload onClose={close} />}
      {open === "back" && <BackToSelfSigned onClose={close} />}
    </Page>
  );
}

function CertificatePanel({ info }: { info: Info }) {
  const [tone, validity] = validityOf(info.notbefore, info.notafter, nowSeconds());
  const { pem } = info;
  return (
    <Panel
      title={words.title}
      actions={
        pem && (
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => saveText(info.filename, pem, "application/x-pem-file")}
          >
            {words.save}
          </Button>
        )
      }
    >
      <Facts
        rows={[
          [texts.common.state, <State tone={tone}>{validity}</State>],
          [words.fingerprint, info.fingerprint && <Copyable value={info.fingerprint} what={words.fingerprint} />],
          [words.names, info.san.map(plainName).join(", ")],
          [words.subject, info.subject],
          [words.issuer, info.issuer === info.subject ? words.selfSigned : info.issuer],
          [words.validFrom, dateTime(info.notbefore)],
          [words.validUntil, dateTime(info.notafter)],
          [words.key, words.keyOf(info["public-key-type"], info["public-key-bits"])],
          [words.file, info.filename],
        ]}
      />
    </Panel>
  );
}

/** Returns a name without the kind that stands before it, as in `DNS:pbs1`. */
const plainName = (name: string): string => name.replace(/^(DNS|IP):/, "");

function BackToSelfSigned({ onClose }: { onClose: () => void }) {
  return (
    <RemovalDialog
      title={words.backTitle}
      name={NAME_TO_TYPE}
      submit={words.back}
      remove={() => call("delete", "/nodes/{node}/certificates/custom", { params: { path: { node: NODE } } })}
      refresh={["/nodes/{node}/certificates/info", "/nodes/{node}/status"]}
      done={words.backDone}
      onClose={onClose}
    >
      <Text size="sm">{words.backRemoves}</Text>
      <Text size="sm" mt="xs">
        {words.changes}
      </Text>
    </RemovalDialog>
  );
}

/** The file that is replaced. */
const NAME_TO_TYPE = "proxy.pem";
