// Adding and editing a traffic rule.

import { SimpleGrid, TagsInput, TextInput } from "@mantine/core";
import { call } from "../../api/client";
import { useRead } from "../../api/hooks";
import { FormDialog } from "../../parts/dialog";
import { RateField } from "../../parts/fields/rate-field";
import { texts } from "../../texts";
import { changeOf, creationOf, faultsOf, valuesOf, type Rule, type RuleValues } from "./values";

const words = texts.traffic;

const TIMEFRAMES = ["mon..fri 8-18", "sat,sun 0-23:59", "8:30-17:00"];
const NETWORKS = ["0.0.0.0/0", "::/0", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];

interface RuleDialogProps {
  /** The rule to change; a new one if absent. */
  rule?: Rule;
  /** State of the configuration in which it was read. */
  digest: string | undefined;
  onClose: () => void;
}

export function RuleDialog({ rule, digest, onClose }: RuleDialogProps) {
  // Only to choose from: names that this user may not see can be typed.
  const users = useRead("/access/users", undefined, {});
  const tags = {
    clearable: true,
    clearButtonProps: { "aria-label": texts.common.clear },
    acceptValueOnBlur: true,
  };
  return (
    <FormDialog
      title={rule ? words.edit(rule.name) : words.add}
      size="xl"
      values={valuesOf(rule)}
      validate={faultsOf}
      submit={rule ? texts.common.save : texts.common.add}
      send={async (values: RuleValues) => {
        if (!rule) return call("post", "/config/traffic-control", { body: creationOf(values) });
        const body = changeOf(rule, values);
        if (Object.keys(body).length === 0) return undefined;
        return call("put", "/config/traffic-control/{name}", {
          params: { path: { name: rule.name } },
          body: { ...body, ...(digest === undefined ? {} : { digest }) },
        });
      }}
      refresh={["/admin/traffic-control"]}
      done={texts.common.saved}
      onClose={onClose}
    >
      {(form) => (
        <>
          {!rule && (
            <TextInput
              label={texts.common.name}
              required
              data-autofocus
              autoComplete="off"
              {...form.getInputProps("name")}
            />
          )}
          <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
            <RateField form={form} name="rate-in" label={words.rateIn} description={words.rateInHint} />
            <RateField form={form} name="burst-in" label={words.burstIn} description={words.burstHint} />
            <RateField form={form} name="rate-out" label={words.rateOut} description={words.rateOutHint} />
            <RateField form={form} name="burst-out" label={words.burstOut} description={words.burstHint} />
          </SimpleGrid>
          <TagsInput
            label={words.networks}
            description={words.networksHint}
            required
            data={NETWORKS}
            splitChars={[",", " "]}
            {...tags}
            {...form.getInputProps("network")}
          />
          <TagsInput
            label={words.users}
            description={words.usersHint}
            data={(users.data ?? []).map((user) => user.userid)}
            splitChars={[",", " "]}
            {...tags}
            {...form.getInputProps("users")}
          />
          <TagsInput
            label={words.timeframe}
            description={words.timeframeHint}
            data={TIMEFRAMES}
            splitChars={[";"]}
            {...tags}
            {...form.getInputProps("timeframe")}
          />
          <TextInput label={texts.common.comment} maxLength={128} {...form.getInputProps("comment")} />
        </>
      )}
    </FormDialog>
  );
}
