/** Remotes, users and their rights, keys, traffic rules, notifications. */
import type { paths } from "../../src/api/schema";
import type { Answers } from "./api";
import { DAY, NOW, USER } from "./time";

type Probe = paths["/farhold/remotes/probe"]["post"]["responses"]["200"]["content"]["application/json"]["data"];

const DIGEST = "0".repeat(64);

const remotes = [
  {
    name: "site-b",
    host: "backup.site-b.example.org",
    "auth-id": "sync@pbs!backup1",
    fingerprint: `8d:42:70:${"1b:c6:".repeat(14)}aa`,
    comment: "second site, 1 Gbit/s",
  },
  {
    name: "site-c",
    host: "198.51.100.20",
    port: 8443,
    "auth-id": "tenant7@pbs!push",
    fingerprint: `05:ee:91:${"f3:28:".repeat(14)}7c`,
    comment: "rented space, sees only encrypted data",
  },
];

const users = [
  { userid: "root@pam", comment: "Superuser", enable: true, expire: 0, tokens: [] },
  { userid: USER, comment: "", enable: true, expire: 0, firstname: "Ada", lastname: "Byron", email: "ada@example.org" },
  {
    userid: "backup@pbs",
    comment: "machines",
    enable: true,
    expire: 0,
    tokens: [
      { tokenid: "backup@pbs!pve1", comment: "first host", enable: true, expire: 0 },
      { tokenid: "backup@pbs!pve2", enable: true, expire: NOW + 90 * DAY },
    ],
  },
  { userid: "auditor@pbs", comment: "", enable: false, expire: 0 },
];

const keys = [
  {
    id: "offsite-2026",
    kdf: "none" as const,
    created: NOW - 320 * DAY,
    modified: NOW - 320 * DAY,
    fingerprint: `a1:7e:${"0c:d9:".repeat(15)}`.slice(0, -1),
  },
  {
    id: "offsite-2025",
    kdf: "none" as const,
    created: NOW - 700 * DAY,
    modified: NOW - 320 * DAY,
    "archived-at": NOW - 320 * DAY,
    fingerprint: `34:b8:${"e1:5f:".repeat(15)}`.slice(0, -1),
  },
];

const rules = [
  {
    name: "office-hours",
    network: ["0.0.0.0/0", "::/0"],
    "rate-in": "50 MiB",
    "rate-out": "20 MiB",
    timeframe: ["mon..fri 8-18:30"],
    comment: "leave room for people",
  },
];

const matchers = [
  {
    name: "default-matcher",
    origin: "builtin" as const,
    target: ["mail-to-root"],
    mode: "all" as const,
    comment: "Route all notifications to mail-to-root",
  },
  {
    name: "failed-syncs",
    origin: "user-created" as const,
    target: ["on-call"],
    mode: "all" as const,
    "match-field": ["exact:type=sync"],
    "match-severity": ["error"],
  },
];

/** A remote that can be used and whose clock is a little ahead. */
export const probe: Probe = {
  peer: "backup.site-b.example.org:8007",
  "auth-id": "sync@pbs!backup1",
  usable: true,
  version: "4.2.1",
  "clock-difference": 4,
  certificate: { fingerprint: remotes[0]!.fingerprint, "is-trusted": false, names: ["backup.site-b.example.org"] },
  datastores: ["vault", "archive"],
  "namespace-count": 3,
  namespaces: ["", "prod", "prod/web"],
  privileges: ["Datastore.Audit", "Datastore.Read"],
  steps: [
    { step: "connection", state: "ok", text: "connected within 12 ms" },
    { step: "certificate", state: "ok", text: "the certificate has the expected fingerprint" },
    { step: "login", state: "ok", text: "logged in as sync@pbs!backup1" },
    { step: "version", state: "ok", text: "4.2.1" },
    {
      step: "clock",
      state: "warning",
      text: "its clock is 4 s ahead",
      hint: "let both servers take the time from the same source",
    },
    { step: "datastores", state: "ok", text: "2 datastores are visible" },
  ],
};

export const configuration: Answers = {
  "/config/remote": { data: remotes, digest: DIGEST },
  "/config/remote/{name}": ({ name }) => ({
    data: remotes.find((remote) => remote.name === name) ?? remotes[0]!,
    digest: DIGEST,
  }),
  "/config/remote/{name}/scan": {
    data: [
      { store: "vault", comment: "machines", "mount-status": "nonremovable", "backend-type": "filesystem" },
      { store: "archive", comment: null, "mount-status": "nonremovable", "backend-type": "filesystem" },
    ],
  },
  "/config/remote/{name}/scan/{store}/namespaces": { data: [{ ns: "" }, { ns: "prod" }, { ns: "prod/web" }] },
  "/config/remote/{name}/scan/{store}/groups": {
    data: ["100", "104", "107", "9999"].map((id) => ({
      "backup-type": "vm" as const,
      "backup-id": id,
      "backup-count": 9,
      "last-backup": NOW - DAY / 4,
      owner: "backup@pbs!pve1",
      files: ["index.json.blob", "drive-scsi0.img.fidx"],
    })),
  },
  "/access/users": { data: users, digest: DIGEST },
  "/access/users/{userid}": ({ userid }) => {
    const { tokens: _, ...user } = { tokens: [], ...(users.find((one) => one.userid === userid) ?? users[1]!) };
    return { data: user, digest: DIGEST };
  },
  "/access/users/{userid}/token": { data: [], digest: DIGEST },
  "/access/roles": {
    data: [
      { roleid: "Admin", comment: "All privileges", privs: ["Datastore.Audit", "Datastore.Modify", "Sys.Audit"] },
      { roleid: "Audit", comment: "Look at everything", privs: ["Datastore.Audit", "Sys.Audit"] },
      { roleid: "DatastoreBackup", comment: "Back up and restore own backups", privs: ["Datastore.Backup"] },
      { roleid: "NoAccess", comment: "No privileges", privs: [] },
    ],
  },
  "/access/acl": {
    data: [
      { path: "/", ugid: USER, ugid_type: "user", roleid: "Admin", propagate: true },
      { path: "/datastore/tank", ugid: "backup@pbs", ugid_type: "user", roleid: "DatastoreBackup", propagate: true },
      {
        path: "/datastore/tank",
        ugid: "backup@pbs!pve1",
        ugid_type: "user",
        roleid: "DatastoreBackup",
        propagate: true,
      },
      { path: "/", ugid: "auditor@pbs", ugid_type: "user", roleid: "Audit", propagate: true },
    ],
    digest: DIGEST,
  },
  "/access/domains": {
    data: [
      { realm: "pam", type: "pam", comment: "Accounts of the host" },
      { realm: "pbs", type: "pbs", comment: "Accounts of this server", default: true },
    ],
  },
  "/access/permissions": {
    data: Object.fromEntries(
      [
        "/",
        "/access",
        "/datastore",
        "/datastore/tank",
        "/datastore/longterm",
        "/datastore/shelf",
        "/remote",
        "/system",
      ].map((path) => [path, Object.fromEntries(privileges().map((privilege) => [privilege, true]))]),
    ),
  },
  "/farhold/access/check": {
    data: [
      {
        "auth-id": "backup@pbs!pve1",
        active: true,
        path: "/datastore/tank",
        privileges: { "Datastore.Backup": true },
        entries: [
          {
            "auth-id": "backup@pbs!pve1",
            line: "acl:1:/datastore/tank:backup@pbs!pve1:DatastoreBackup",
            path: "/datastore/tank",
            propagate: true,
            role: "DatastoreBackup",
            verdict: "grants",
          },
        ],
      },
    ],
  },
  "/config/encryption-keys": (asked) => ({
    data: asked["include-archived"] ? keys : keys.filter((key) => !("archived-at" in key)),
    digest: DIGEST,
  }),
  "/farhold/encryption-keys/{id}": ({ id }) => ({
    data: {
      ...(keys.find((key) => key.id === id) ?? keys[0]!),
      "active-in": id === "offsite-2026" ? ["push-offsite"] : [],
      "associated-with": id === "offsite-2025" ? ["push-offsite"] : [],
    },
    digest: DIGEST,
  }),
  "/config/traffic-control": { data: rules, digest: DIGEST },
  "/config/traffic-control/{name}": { data: rules[0]!, digest: DIGEST },
  "/admin/traffic-control": {
    data: rules.map((rule) => ({ ...rule, "cur-rate-in": 22_400_000, "cur-rate-out": 310_000 })),
    digest: DIGEST,
  },
  "/config/notifications/targets": {
    data: [
      { name: "mail-to-root", type: "sendmail", origin: "builtin", comment: "Send mails to root@pam's email address" },
      { name: "on-call", type: "gotify", origin: "user-created", comment: "whoever has the pager" },
    ],
  },
  "/config/notifications/endpoints/gotify": {
    data: [
      { name: "on-call", server: "https://push.example.org", origin: "user-created", comment: "whoever has the pager" },
    ],
  },
  "/config/notifications/endpoints/sendmail": {
    data: [
      {
        name: "mail-to-root",
        "mailto-user": ["root@pam"],
        origin: "builtin",
        comment: "Send mails to root@pam's email address",
      },
    ],
  },
  "/config/notifications/endpoints/smtp": { data: [] },
  "/config/notifications/endpoints/webhook": { data: [] },
  "/config/notifications/matchers": { data: matchers },
  "/config/notifications/matchers/{name}": ({ name }) => ({
    data: matchers.find((matcher) => matcher.name === name) ?? matchers[0]!,
    digest: DIGEST,
  }),
  "/config/notifications/matcher-fields": { data: [{ name: "type" }, { name: "datastore" }, { name: "hostname" }] },
  "/config/notifications/matcher-field-values": { data: [{ field: "type", value: "sync", comment: null }] },
};

function privileges(): string[] {
  const of = (area: string, ...names: string[]): string[] => names.map((name) => `${area}.${name}`);
  return [
    ...of("Datastore", "Allocate", "Audit", "Backup", "Modify", "Prune", "Read", "Verify"),
    ...of("Permissions", "Modify"),
    ...of("Realm", "Allocate"),
    ...of("Remote", "Audit", "Modify", "Read", "DatastoreBackup", "DatastoreModify", "DatastorePrune"),
    ...of("Sys", "Audit", "Console", "Modify", "PowerManagement"),
  ];
}
