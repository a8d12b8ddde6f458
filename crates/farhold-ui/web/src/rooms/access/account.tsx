// What users and API tokens have in common: whether they can be used, and until when.

import { Checkbox, TextInput } from "@mantine/core";
import { dateTime, nowSeconds } from "../../format/time";
import type { Form } from "../../parts/dialog";
import { State, type Tone } from "../../parts/state";
import type { Column } from "../../parts/table";
import { texts } from "../../texts";
import { accountState, type Account } from "./expiry";

const words = texts.access;

const TONES: Record<ReturnType<typeof accountState>, Tone> = { enabled: "good", disabled: "quiet", expired: "warning" };

/** Columns for the state of an account and its end. */
export function accountColumns<Row extends Account>(): Column<Row>[] {
  return [
    {
      id: "state",
      title: texts.common.state,
      value: (row) => words.states[accountState(row, nowSeconds())],
      cell: (row) => {
        const state = accountState(row, nowSeconds());
        return <State tone={TONES[state]}>{words.states[state]}</State>;
      },
      width: "8rem",
    },
    {
      id: "expires",
      title: words.expires,
      value: (row) => row.expire || undefined,
      cell: (row) => (row.expire ? dateTime(row.expire) : texts.common.never),
      width: "12rem",
      phone: false,
    },
  ];
}

export type AccountValues = { enable: boolean; expire: string };

/** Fields for the state of an account and its end. */
export function AccountFields<Values extends AccountValues>({ form }: { form: Form<Values> }) {
  return (
    <>
      <TextInput
        type="datetime-local"
        label={words.expires}
        description={words.expiresHint}
        {...form.getInputProps("expire")}
      />
      <Checkbox label={words.isEnabled} {...form.getInputProps("enable", { type: "checkbox" })} />
    </>
  );
}
