// The one way to the server: typed calls of its REST API, with the CSRF token of the session and errors in its words.

import createClient, { type MaybeOptionalInit } from "openapi-fetch";
import type { HttpMethod, PathsWithMethod } from "openapi-typescript-helpers";
import { failureOf, ApiFailure } from "./failure";
import type { paths } from "./schema";

/** Where the API is, relative to the document: also below a path of a reverse proxy. */
export const API_BASE = new URL("api2/json", document.baseURI).href;

let csrfToken: string | undefined;
let whenUnauthorized: () => void = () => {};

/** Sets the token that calls other than GET carry; `undefined` after logging out. It is kept in memory only. */
export function setCsrfToken(token: string | undefined): void {
  csrfToken = token;
}

/** Sets what is to happen when the server no longer accepts the ticket. */
export function onUnauthorized(then: () => void): void {
  whenUnauthorized = then;
}

const client = createClient<paths>({ baseUrl: API_BASE, credentials: "same-origin" });

client.use({
  onRequest({ request }) {
    if (request.method !== "GET" && csrfToken) request.headers.set("CSRFPreventionToken", csrfToken);
    return request;
  },
  onResponse({ response, schemaPath }) {
    if (response.status === 401 && schemaPath !== "/access/ticket") whenUnauthorized();
    return response;
  },
});

export type Method = Extract<HttpMethod, "get" | "put" | "post" | "delete">;
export type PathOf<M extends Method> = PathsWithMethod<paths, M>;
/** Parameters of a call: `params.path`, `params.query`, `body`. */
export type Init<M extends Method, P extends PathOf<M>> = MaybeOptionalInit<paths[P], M>;

type Operation<M extends Method, P extends PathOf<M>> = NonNullable<paths[P][M & keyof paths[P]]>;
type Success<M extends Method, P extends PathOf<M>> =
  Operation<M, P> extends { responses: { 200: { content: { "application/json": infer Body } } } } ? Body : unknown;

/** The whole answer of a call, beside `data` for instance `total` or `digest`. */
export type Answer<M extends Method, P extends PathOf<M>> = Success<M, P>;
/** The value of an answer. */
export type Data<M extends Method, P extends PathOf<M>> = Success<M, P> extends { data: infer Value } ? Value : unknown;
/** One entry of a list. */
export type Item<P extends PathOf<"get">> = Data<"get", P> extends readonly (infer One)[] ? One : never;

/**
 * Calls the API and returns the whole answer, without types: for what is generic over all calls.
 *
 * @throws ApiFailure with the server's words.
 */
export async function request(method: Method, path: string, init: object = {}): Promise<unknown> {
  const send = client.request as unknown as (method: string, path: string, init: object) => Promise<Outcome>;
  let outcome;
  try {
    outcome = await send(method, path, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiFailure(0, "The server cannot be reached.");
  }
  const { response, data, error } = outcome;
  if (!response.ok) throw failureOf(response.status, typeof error === "string" ? error : JSON.stringify(error ?? ""));
  return data;
}

interface Outcome {
  response: Response;
  data?: unknown;
  error?: unknown;
}

/**
 * Calls the API and returns the whole answer.
 *
 * @throws ApiFailure with the server's words.
 */
export async function call<M extends Method, P extends PathOf<M>>(
  method: M,
  path: P,
  ...[init]: Arguments<M, P>
): Promise<Answer<M, P>> {
  return (await request(method, path as string, init as object | undefined)) as Answer<M, P>;
}

/** Parameters may be left out where the call has none that it needs. */
export type Arguments<M extends Method, P extends PathOf<M>> =
  Record<string, never> extends Init<M, P> ? [init?: Init<M, P>] : [init: Init<M, P>];
