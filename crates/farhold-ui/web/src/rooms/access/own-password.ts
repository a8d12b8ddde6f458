// Proves that somebody knows the own password before the server is asked to do something with it.

import { call } from "../../api/client";

/**
 * Has the server check a password.
 *
 * Every answer 401 takes the session's cookie away, also that to a call which only asks for the password again. So it
 * is tried first in a call that neither sends cookies nor takes any: a typing error then ends no session.
 *
 * @throws ApiFailure in the server's words if it is wrong.
 */
export async function proveOwnPassword(username: string, password: string): Promise<void> {
  await call("post", "/access/ticket", { credentials: "omit", body: { username, password, "http-only": true } });
}
