// What an API call failed with, in the server's words.

/** A failed call. `fields` holds what the server says of single parameters. */
export class ApiFailure extends Error {
  constructor(
    /** HTTP status; 0 if the server could not be reached. */
    readonly status: number,
    message: string,
    readonly fields: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.name = "ApiFailure";
  }
}

const PARAMETER_TITLE = /^parameter verification (failed|errors)/;
// An entry of a list is told as `'network/[0]'`: it belongs to the list's field.
const PARAMETER_ERROR = /'([A-Za-z][\w-]*)(?:\/\[\d+\])?': ([^\n]*)/g;

/** Understands the plain text of an error. Those of parameters are told as `'name': what is wrong`, each in a line. */
export function failureOf(status: number, text: string): ApiFailure {
  const trimmed = text.trim();
  if (trimmed === "") return new ApiFailure(status, `the server answered with status ${status}`);
  if (!PARAMETER_TITLE.test(trimmed)) return new ApiFailure(status, trimmed);
  const fields: Record<string, string> = {};
  for (const [, name, words] of trimmed.matchAll(PARAMETER_ERROR)) {
    if (name && words) fields[name] ??= words.trim();
  }
  return new ApiFailure(status, trimmed, fields);
}

/** Returns the words of whatever was thrown. */
export function wordsOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  return String(error);
}
