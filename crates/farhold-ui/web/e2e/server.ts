/**
 * One real server as a process of its own, on a port of its own, and how a test reaches it without the interface: by the
 * program's own commands, as an administrator would, and by plain calls of the API with a token.
 */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";

/** How long a server may take to listen or to end, and a task to end, in milliseconds. */
const PATIENCE = 60_000;

export const ADMIN = "admin@pbs";
/** Password of all accounts of the tests. */
export const PASSWORD = "correct-horse-9";

/** Lines of a server's log that tell of a fault of the program, whatever the browser was told. */
const FAULT = /panicked| ERROR |not as declared/;

/** No LC_ALL, PBS_LOG and the like of whoever runs the tests. */
const ENVIRONMENT = { PATH: process.env.PATH, LANG: "C.UTF-8", TZ: "UTC" };

const agent = new Agent({ rejectUnauthorized: false, keepAlive: false });

export type Query = Record<string, string | number | boolean | string[]>;

function programPath(): string {
  const program = process.env.FARHOLD_BIN;
  if (!program) throw new Error("FARHOLD_BIN must name the program to test, for example ../../../target/debug/farhold");
  return path.resolve(program);
}

export class Server {
  /** Servers that were started and whose logs are still there, running or not. */
  static readonly all = new Set<Server>();

  private process: ChildProcess | undefined;
  private secret = "";
  port = 0;
  fingerprint = "";

  private constructor(readonly root: string) {}

  /** Starts a server with a new folder `root` for all its files. */
  static async start(root: string): Promise<Server> {
    mkdirSync(root, { recursive: true });
    const server = new Server(root);
    Server.all.add(server);
    await server.run();
    return server;
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  get name(): string {
    return path.basename(this.root);
  }

  get logFile(): string {
    return path.join(this.root, "server.log");
  }

  /** Starts the process, on the port it had before if it was stopped. Returns when it listens. */
  async run(): Promise<void> {
    const before = this.log().length;
    const file = openSync(this.logFile, "a");
    const program = spawn(programPath(), ["--root", this.root, "server", "--listen", `127.0.0.1:${this.port}`], {
      stdio: ["ignore", file, file],
      env: ENVIRONMENT,
    });
    closeSync(file);
    this.process = program;
    process.once("exit", () => program.kill("SIGKILL"));
    const end = Date.now() + PATIENCE;
    while (Date.now() < end && program.exitCode === null) {
      const text = this.log().slice(before);
      const port = /listening on 127\.0\.0\.1:(\d+)/.exec(text);
      const fingerprint = /fingerprint \(sha256\): ([0-9a-f:]{95})/.exec(text);
      if (port?.[1] && fingerprint?.[1]) {
        this.port = Number(port[1]);
        this.fingerprint = fingerprint[1];
        return;
      }
      await pause(25);
    }
    throw new Error(`the server does not start:\n${this.log().slice(before)}`);
  }

  /** Ends the process, orderly or, with SIGKILL, in the middle of whatever it does. Files stay. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const program = this.process;
    this.process = undefined;
    if (!program || program.exitCode !== null || program.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => program.once("exit", () => resolve()));
    program.kill(signal);
    const late = setTimeout(() => program.kill("SIGKILL"), PATIENCE);
    await ended;
    clearTimeout(late);
  }

  /** Its files go away: nobody looks at its log any more. */
  forget(): void {
    Server.all.delete(this);
  }

  log(): string {
    try {
      return readFileSync(this.logFile, "utf8");
    } catch {
      return "";
    }
  }

  /** Returns the lines of the log after its first `from` characters that tell of a fault of the program. */
  faults(from = 0): string[] {
    return this.log()
      .slice(from)
      .split("\n")
      .filter((line) => FAULT.test(line));
  }

  /** Runs an administrator's command and returns what it prints. */
  command(...args: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const options = { env: ENVIRONMENT, maxBuffer: 1 << 26 };
      const child = execFile(programPath(), ["--root", this.root, ...args], options, (error, stdout, stderr) => {
        if (error) reject(new Error(`${args.join(" ")} failed: ${stderr}${stdout}`));
        else resolve(stdout);
      });
      child.stdin?.end();
    });
  }

  /** Makes a user with a role on a path; the password is the one of all. */
  async user(userid: string, role?: string, aclPath = "/"): Promise<void> {
    await this.command("user", "create", userid, "--password", PASSWORD);
    if (role) await this.command("acl", "update", aclPath, role, "--auth-id", userid);
  }

  /** Makes an API token of the administrator with all his rights; `api` uses it. Returns its secret. */
  async token(name: string): Promise<string> {
    const printed = await this.command("user", "generate-token", ADMIN, name);
    const { value } = JSON.parse(printed.slice(printed.indexOf("{"))) as { value: string };
    await this.command("acl", "update", "/", "Admin", "--auth-id", `${ADMIN}!${name}`);
    this.secret = `${ADMIN}!${name}:${value}`;
    return value;
  }

  /** Calls the API with the administrator's token and returns `data`; refusals are errors. */
  async api<T>(method: "GET" | "POST" | "PUT" | "DELETE", place: string, query: Query = {}): Promise<T> {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      for (const one of Array.isArray(value) ? value : [value]) search.append(name, String(one));
    }
    const headers = { Authorization: `PBSAPIToken=${this.secret}` };
    const { status, body } = await call(`${this.url}/api2/json${place}?${search}`, method, headers);
    if (status !== 200) throw new Error(`${method} ${place}: ${status} ${body}`);
    return (JSON.parse(body) as { data: T }).data;
  }

  /** Waits for a task and returns how it ended. */
  async wait(upid: string): Promise<string> {
    const end = Date.now() + PATIENCE;
    while (Date.now() < end) {
      const place = `/nodes/localhost/tasks/${encodeURIComponent(upid)}/status`;
      const task = await this.api<{ status: string; exitstatus: string }>("GET", place);
      if (task.status === "stopped") return task.exitstatus;
      await pause(100);
    }
    throw new Error(`${upid} did not end`);
  }
}

/** One request whatever the certificate; no redirects, no cookies. */
export function call(
  url: string,
  method = "GET",
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Record<string, string | string[] | undefined>; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent, timeout: PATIENCE }, (answer) => {
      const parts: Buffer[] = [];
      answer.on("data", (part: Buffer) => parts.push(part));
      answer.on("error", reject);
      answer.on("end", () => {
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(parts).toString() });
      });
    });
    sent.on("error", reject);
    sent.on("timeout", () => sent.destroy(new Error(`${url} did not answer`)));
    sent.end();
  });
}
