/**
 * Two servers: `source` with the recorded datastore, and `copy`, the one whose interface is used, with an empty one.
 *
 * Everything lies below one folder that goes away at the end. Accounts and datastores come from the program's own
 * commands. Creating a datastore makes 65,536 folders: tests share these two and take names of their own instead.
 */
import path from "node:path";

import { makeFolder, removeFolder, unpackGolden } from "./folder";
import { ADMIN, PASSWORD, Server } from "./server";

/** Datastore of `source`. */
export const GOLDEN = "golden";
/** Datastore of `copy`, empty at first. */
export const COPY = "copy";
/** May read all of `golden`, on `source`. */
export const READER = "sync@pbs";
/** May write into the namespace `pushed` of `golden`, on `source`. */
export const WRITER = "push@pbs";
/** May look at everything and change nothing, on `copy`. */
export const AUDITOR = "auditor@pbs";
/** May do nothing, on `copy`. */
export const NOBODY = "nobody@pbs";

export class Scene {
  private constructor(
    readonly folder: string,
    readonly source: Server,
    readonly copy: Server,
  ) {}

  static async build(): Promise<Scene> {
    const folder = makeFolder("scene");
    const started: Server[] = [];
    const start = async (name: string): Promise<Server> => {
      const server = await Server.start(path.join(folder, name));
      started.push(server);
      await server.user(ADMIN, "Admin");
      await server.token("main");
      return server;
    };
    try {
      const [source, copy] = await Promise.all([start("source"), start("copy")]);
      const scene = new Scene(folder, source, copy);
      await Promise.all([scene.furnishSource(), scene.furnishCopy()]);
      return scene;
    } catch (error) {
      await Promise.all(started.map((server) => server.stop()));
      removeFolder(folder);
      throw error;
    }
  }

  private async furnishSource(): Promise<void> {
    const golden = unpackGolden(path.join(this.folder, "stores"));
    await this.source.command("datastore", "create", GOLDEN, golden, "--reuse-datastore", "true");
    await this.source.user(READER, "DatastoreReader", `/datastore/${GOLDEN}`);
    await this.source.api("POST", `/admin/datastore/${GOLDEN}/namespace`, { name: "pushed" });
    await this.source.user(WRITER, "DatastorePowerUser", `/datastore/${GOLDEN}/pushed`);
  }

  private async furnishCopy(): Promise<void> {
    await this.copy.command("datastore", "create", COPY, path.join(this.folder, "stores", COPY));
    await this.copy.user(AUDITOR, "Audit");
    await this.copy.command("acl", "update", "/remote", "RemoteAudit", "--auth-id", AUDITOR);
    await this.copy.user(NOBODY);
  }

  /** Makes a remote on `copy` that reaches `source` as `authId`. */
  async remote(name: string, authId = READER, password = PASSWORD): Promise<void> {
    await this.copy.command(
      ...["remote", "create", name, "--host", "127.0.0.1", "--port", String(this.source.port)],
      ...["--auth-id", authId, "--password", password, "--fingerprint", this.source.fingerprint],
    );
  }

  async stop(): Promise<void> {
    await Promise.all([this.source.stop(), this.copy.stop()]);
    this.source.forget();
    this.copy.forget();
    removeFolder(this.folder);
  }
}
