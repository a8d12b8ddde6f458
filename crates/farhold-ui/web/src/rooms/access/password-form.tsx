// A new password for a user. The server asks everybody but root@pam for the own one first.

import { PasswordInput } from "@mantine/core";
import { call } from "../../api/client";
import { useUser } from "../../api/session";
import { FormDialog } from "../../parts/dialog";
import { texts } from "../../texts";
import { proveOwnPassword } from "./own-password";
import { PasswordPair, wrongPassword } from "./password-pair";

const words = texts.access;

/** The only user who is not asked for a password again. */
const SUPERUSER = "root@pam";

export function PasswordForm({ user, onClose }: { user: string; onClose: () => void }) {
  const me = useUser();
  const isAsked = me !== SUPERUSER;
  return (
    <FormDialog
      title={words.changePasswordOf(user)}
      values={{ own: "", password: "", again: "" }}
      validate={(values) => ({
        ...(isAsked && values.own === "" ? { own: texts.common.required } : {}),
        ...wrongPassword(values),
      })}
      send={async ({ own, password }) => {
        if (isAsked) await proveOwnPassword(me, own);
        return call("put", "/access/password", {
          body: { userid: user, password, ...(isAsked ? { "confirmation-password": own } : {}) },
        });
      }}
      fieldOf={{ "confirmation-password": "own" }}
      done={words.passwordChanged(user)}
      submit={words.changePassword}
      size="md"
      onClose={onClose}
    >
      {(form) => (
        <>
          {isAsked && (
            <PasswordInput
              label={words.ownPassword}
              description={words.ownPasswordHint}
              autoComplete="current-password"
              visibilityToggleButtonProps={{ "aria-label": texts.common.showSecret(words.ownPassword), tabIndex: 0 }}
              required
              data-autofocus
              {...form.getInputProps("own")}
            />
          )}
          <PasswordPair form={form} />
        </>
      )}
    </FormDialog>
  );
}
