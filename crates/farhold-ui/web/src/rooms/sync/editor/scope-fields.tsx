// Which snapshots a job takes, and what becomes of those that vanished.

import { Alert, SimpleGrid, Stack, Switch } from "@mantine/core";
import type { Form } from "../../../parts/dialog";
import { DepthField } from "../../../parts/fields/scope-fields";
import { texts } from "../../../texts";
import { CountField } from "./count-field";
import type { SyncValues } from "./values";

const words = texts.syncEditor;

export function ScopeFields({ form }: { form: Form<SyncValues> }) {
  const { kind, ...values } = form.values;
  const isPush = kind === "push";
  const flag = (name: keyof SyncValues & string) => form.getInputProps(name, { type: "checkbox" });
  return (
    <Stack gap="sm">
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
        <DepthField form={form} name="max-depth" label={words.depth} />
        <CountField
          form={form}
          name="transfer-last"
          label={words.transferLast}
          description={words.transferLastHint}
          placeholder={words.all}
        />
      </SimpleGrid>
      <Switch label={words.encryptedOnly} description={words.encryptedOnlyHint} {...flag("encrypted-only")} />
      <Switch label={words.verifiedOnly} description={words.verifiedOnlyHint} {...flag("verified-only")} />
      {!isPush && (
        <Switch label={words.resyncCorrupt} description={words.resyncCorruptHint} {...flag("resync-corrupt")} />
      )}
      {!isPush && <Switch label={words.verifyAfter} description={words.verifyAfterHint} {...flag("verify-after")} />}
      <Switch
        label={words.removeVanished}
        description={words.removeVanishedHint[isPush ? "push" : "pull"]}
        {...flag("remove-vanished")}
      />
      {values["remove-vanished"] && (
        <Alert color="yellow" variant="light">
          {values["encrypted-only"] || values["verified-only"] ? `${words.removeVanishedFilters} ` : ""}
          {words.removeVanishedDry}
        </Alert>
      )}
    </Stack>
  );
}
