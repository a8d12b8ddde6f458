// Whose backups are whose. Source: docs/spec/rest-api.md 3.4.

/** Whether a user owns what belongs to `owner`: the user itself, or one of its API tokens. */
export function owns(user: string, owner: string): boolean {
  return owner === user || owner.startsWith(`${user}!`);
}
