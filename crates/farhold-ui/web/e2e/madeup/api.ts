/**
 * Answers the interface's calls from made-up data, so that pictures of it are the same on every machine and every day.
 * The files of the interface still come from a real server. A call without an answer fails the test and is named.
 */
import type { Page, Route } from "@playwright/test";

import type { paths } from "../../src/api/schema";
import type { Server } from "../server";
import type { Faults } from "../fixtures";
import { NOW, trials, USER, world } from "./world";

type Get<P extends keyof paths> = paths[P] extends {
  get: { responses: { 200: { content: { "application/json": infer Answer } } } };
}
  ? Answer
  : never;

type Post<P extends keyof paths> = paths[P] extends {
  post: { responses: { 200: { content: { "application/json": infer Answer } } } };
}
  ? Answer
  : never;

/** Answers to POST of calls that change nothing; they may depend on the body. */
export type Trials = { [P in keyof paths]?: Post<P> | ((body: unknown) => Post<P>) };

/** What was asked: variables of the path and parameters of the query. */
export interface Asked {
  [name: string]: string | undefined;
}

/** Answers to GET, by path as the API's description has it; those that depend on what was asked are functions. */
export type Answers = { [P in keyof paths]?: Get<P> | ((asked: Asked) => Get<P>) };

/** Answers that are text. */
export type Texts = Record<"/farhold/metrics", string>;

const PREFIX = "/api2/json";

/** Opens the interface of `server` at a place such as `/remotes`, logged in, at the time that the data speaks of. */
export async function openMadeUp(page: Page, server: Server, faults: Faults, place = "/"): Promise<void> {
  await page.clock.setFixedTime(NOW * 1000);
  await page.addInitScript((user) => localStorage.setItem("farhold-user", user), USER);
  await page.route(`${server.url}${PREFIX}/**`, (route) => answer(route, faults));
  await page.goto(`${server.url}/#${place}`);
}

async function answer(route: Route, faults: Faults): Promise<void> {
  const request = route.request();
  const url = new URL(request.url());
  const place = decodeURI(url.pathname.slice(PREFIX.length));
  if (request.method() === "POST" && place === "/access/ticket") {
    const data = { username: USER, CSRFPreventionToken: "made-up", "ticket-info": "made-up" };
    return route.fulfill({ json: { data, status: 200, success: true } });
  }
  const found = request.method() === "GET" ? lookUp(place, url.searchParams) : tried(place, request.postData());
  if (found === undefined) {
    faults.report(`no made-up answer: ${request.method()} ${place}${url.search}`);
    return route.fulfill({ status: 400, body: "no made-up answer" });
  }
  return typeof found === "string" ? route.fulfill({ body: found }) : route.fulfill({ json: found });
}

function tried(place: string, body: string | null): unknown {
  const value: unknown = (trials as Record<string, unknown>)[place];
  return typeof value === "function" ? (value as (body: unknown) => unknown)(JSON.parse(body ?? "{}")) : value;
}

/** Paths with variables are looked at after those without. */
const templates = Object.entries(world)
  .map(([template, value]) => ({ parts: template.split("/"), value }))
  .sort((a, b) => variables(a.parts) - variables(b.parts));

function variables(parts: string[]): number {
  return parts.filter((part) => part.startsWith("{")).length;
}

function lookUp(place: string, query: URLSearchParams): unknown {
  const parts = place.split("/");
  for (const { parts: wanted, value } of templates) {
    const isMatch =
      wanted.length === parts.length && wanted.every((part, at) => part.startsWith("{") || part === parts[at]);
    if (!isMatch) continue;
    const asked: Asked = Object.fromEntries(query);
    wanted.forEach((part, at) => {
      if (part.startsWith("{")) asked[part.slice(1, -1)] = decodeURIComponent(parts[at] ?? "");
    });
    return typeof value === "function" ? (value as (asked: Asked) => unknown)(asked) : value;
  }
  return undefined;
}
