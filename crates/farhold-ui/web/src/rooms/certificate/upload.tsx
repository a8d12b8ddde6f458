// A certificate of one's own instead of the present one.

import { Text } from "@mantine/core";
import { call } from "../../api/client";
import { NODE } from "../../api/server";
import { FormDialog } from "../../parts/dialog";
import { TextFileField } from "../../parts/fields/text-file-field";
import { texts } from "../../texts";
import { faultsOf } from "./validity";

const words = texts.certificate;

type Values = { certificates: string; key: string };

export function Upload({ onClose }: { onClose: () => void }) {
  return (
    <FormDialog
      title={words.uploadTitle}
      values={{ certificates: "", key: "" }}
      validate={faultsOf}
      submit={words.upload}
      send={({ certificates, key }: Values) =>
        call("post", "/nodes/{node}/certificates/custom", {
          params: { path: { node: NODE } },
          body: { certificates, ...(key.trim() === "" ? {} : { key }) },
        })
      }
      refresh={["/nodes/{node}/certificates/info", "/nodes/{node}/status"]}
      done={words.uploaded}
      onClose={onClose}
    >
      {(form) => (
        <>
          <Text size="sm">{words.uploadHint}</Text>
          <Text size="sm">{words.changes}</Text>
          <TextFileField
            form={form}
            name="certificates"
            label={words.chain}
            description={words.chainHint}
            accept=".pem,.crt,.cer"
            required
            rows={7}
          />
          <TextFileField
            form={form}
            name="key"
            label={words.privateKey}
            description={words.privateKeyHint}
            accept=".pem,.key"
            rows={5}
          />
        </>
      )}
    </FormDialog>
  );
}
