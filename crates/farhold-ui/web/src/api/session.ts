// Who is logged in. The ticket is a cookie that scripts cannot read; here is only the user's name and the CSRF token.

import { useSyncExternalStore } from "react";
import { call, onUnauthorized, setCsrfToken } from "./client";
import { ApiFailure } from "./failure";

export type Session =
  /** It is not known yet whether the cookie is still good. */
  | { state: "starting" }
  | { state: "out" }
  | { state: "in"; user: string }
  /** The ticket is no longer accepted; the page stays until its user logs in again. */
  | { state: "expired"; user: string };

/** Tickets hold for two hours and are renewed long before. */
const RENEW_MS = 15 * 60 * 1000;
const USER_KEY = "farhold-user";

let session: Session = { state: "starting" };
const listeners = new Set<() => void>();
let renewal: ReturnType<typeof setInterval> | undefined;

function change(next: Session): void {
  session = next;
  clearInterval(renewal);
  if (next.state === "in") renewal = setInterval(() => void renew(next.user), RENEW_MS);
  for (const listener of listeners) listener();
}

/** Returns the session, and draws again when it changes. */
export function useSession(): Session {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => session,
  );
}

/** Returns the name of the user who is, or was just now, logged in. */
export function useUser(): string {
  const current = useSession();
  return current.state === "in" || current.state === "expired" ? current.user : "";
}

async function ticket(user: string, password?: string): Promise<void> {
  const body = { username: user, "http-only": true, ...(password === undefined ? {} : { password }) };
  const { data } = await call("post", "/access/ticket", { body });
  if (data.ticket?.startsWith("PBS:!tfa!")) throw new ApiFailure(401, "second factors are not supported here");
  setCsrfToken(data.CSRFPreventionToken);
  localStorage.setItem(USER_KEY, data.username);
  change({ state: "in", user: data.username });
}

/** Logs in. @throws ApiFailure in the server's words. */
export async function logIn(user: string, password: string): Promise<void> {
  await ticket(user, password);
}

/** Goes on with the session of an earlier visit if its cookie is still good. */
export async function resume(): Promise<void> {
  const user = localStorage.getItem(USER_KEY);
  if (!user) return change({ state: "out" });
  try {
    await ticket(user);
  } catch {
    change({ state: "out" });
  }
}

async function renew(user: string): Promise<void> {
  try {
    await ticket(user);
  } catch (error) {
    // A server that is away is asked again; one that says no ends the session.
    if (error instanceof ApiFailure && error.status === 401) change({ state: "expired", user });
  }
}

/** Logs out: the cookie goes, and so does what was remembered. */
export async function logOut(): Promise<void> {
  await call("delete", "/access/ticket").catch(() => undefined);
  localStorage.removeItem(USER_KEY);
  setCsrfToken(undefined);
  change({ state: "out" });
}

/** Returns the name that was last logged in with, to fill the form. */
export function lastUser(): string {
  return localStorage.getItem(USER_KEY) ?? "";
}

onUnauthorized(() => {
  if (session.state === "in") change({ state: "expired", user: session.user });
});
