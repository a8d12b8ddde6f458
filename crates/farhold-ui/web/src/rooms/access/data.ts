// What the screens about access read.

import { useAnswer, useRead } from "../../api/hooks";
import { CALM_SECONDS } from "../../api/server";
import type { Item } from "../../api/client";

export type User = Item<"/access/users">;
export type Token = NonNullable<User["tokens"]>[number];
export type Entry = Item<"/access/acl">;

/** The users that may be seen, with their API tokens. */
export const useUsers = () =>
  useAnswer("/access/users", { params: { query: { include_tokens: true } } }, { every: CALM_SECONDS });

/** The permissions that may be seen. */
export const useAcl = () => useAnswer("/access/acl", undefined, { every: CALM_SECONDS });

export const useRoles = () => useRead("/access/roles");

/** Returns the IDs of all users and API tokens, each user before its tokens. */
export function authIdsOf(users: readonly User[]): string[] {
  return users.flatMap((user) => [user.userid, ...(user.tokens ?? []).map((token) => token.tokenid)]);
}

/** Returns the user to whom an ID belongs, which may be that of a token. */
export function userOf(authId: string): string {
  return authId.split("!")[0] ?? authId;
}
