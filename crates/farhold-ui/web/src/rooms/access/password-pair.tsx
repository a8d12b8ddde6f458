// A new password, typed twice.

import type { Form } from "../../parts/dialog";
import { SecretField } from "../../parts/fields/secret-field";
import { texts } from "../../texts";

const words = texts.access;

export type PasswordValues = { password: string; again: string };

/** Shortest password that the server takes. */
const MIN_LENGTH = 8;

/** Returns what is wrong with a new password, by field. */
export function wrongPassword({ password, again }: PasswordValues): Partial<Record<keyof PasswordValues, string>> {
  if (password.length < MIN_LENGTH) return { password: words.passwordHint };
  return password === again ? {} : { again: words.passwordsDiffer };
}

export function PasswordPair<Values extends PasswordValues>({ form }: { form: Form<Values> }) {
  return (
    <>
      <SecretField form={form} name="password" label={words.password} description={words.passwordHint} required />
      <SecretField form={form} name="again" label={words.passwordAgain} required />
    </>
  );
}
