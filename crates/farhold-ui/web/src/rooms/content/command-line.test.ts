import { expect, test } from "vitest";
import { repositoryOf, restoreCommand } from "./command-line";

test("the port of the repository is left out only where the client takes it by itself", () => {
  const of = (port: string) => repositoryOf("jane@pbs", { hostname: "backup", port }, "tank");
  expect([of("8007"), of(""), of("9000")]).toEqual([
    "jane@pbs@backup:tank",
    "jane@pbs@backup:443:tank",
    "jane@pbs@backup:9000:tank",
  ]);
});

test("the command restores what has content, into a file or folder of its name", () => {
  const of = (ns: string, ...names: string[]) =>
    restoreCommand(
      "tank",
      ns,
      "vm/1/2026-01-01T10:00:00Z",
      names.map((filename) => ({ filename })),
    );
  expect(of("", "qemu-server.conf.blob", "drive-scsi0.img.fidx", "index.json.blob")).toBe(
    "proxmox-backup-client restore vm/1/2026-01-01T10:00:00Z drive-scsi0.img ./drive-scsi0.img --repository tank",
  );
  expect(of("a/b", "root.ppxar.didx", "root.mpxar.didx")).toBe(
    "proxmox-backup-client restore vm/1/2026-01-01T10:00:00Z root.pxar ./root --repository tank --ns a/b",
  );
  expect(of("", "index.json.blob", "client.log.blob")).toBeUndefined();
});
