/** The server itself: version, state of the host, certificate, settings. */
import type { Answers, Texts } from "./api";
import { DAY, HOUR, MINUTE, NODE, NOW, numbers } from "./time";

const GIB = 2 ** 30;
export const FINGERPRINT = `c3:1f:0b:66:${"9e:a4:".repeat(13)}20:d8`;

export const node: Answers = {
  "/version": { data: { version: "4.2", release: "1", repoid: "farhold" } },
  "/ping": { data: { pong: true } },
  "/nodes": { data: [{ node: NODE }] },
  "/nodes/{node}/status": {
    data: {
      "boot-info": { mode: "efi", secureboot: false },
      cpu: 0.18,
      cpuinfo: { cpus: 8, model: "AMD EPYC 3251 8-Core Processor", sockets: 1 },
      "current-kernel": { machine: "x86_64", release: "6.12.48", sysname: "Linux", version: "#1 SMP" },
      info: { fingerprint: FINGERPRINT },
      kversion: "Linux 6.12.48 #1 SMP",
      loadavg: [1.24, 0.98, 0.71],
      memory: { total: 64 * GIB, used: 21 * GIB, free: 43 * GIB },
      root: { total: 220 * GIB, used: 31 * GIB, avail: 189 * GIB },
      swap: { total: 8 * GIB, used: 0, free: 8 * GIB },
      uptime: 41 * DAY + 7 * HOUR,
      wait: 0.02,
    },
  },
  "/nodes/{node}/time": { data: { localtime: NOW, time: NOW, timezone: "UTC" } },
  "/nodes/{node}/identity": { data: { "pbs-instance-id": "3f0c7b52d8a94e41b6a5e08d1c97f264" } },
  "/nodes/{node}/subscription": { data: { status: "notfound" } },
  "/nodes/{node}/config": {
    data: { description: "first floor, rack 2", "task-log-max-days": 90 },
    digest: "0".repeat(64),
  },
  "/nodes/{node}/dns": { data: { digest: "0".repeat(64), dns1: "10.0.0.53", search: "example.org" } },
  "/nodes/{node}/certificates/info": {
    data: [
      {
        filename: "proxy.pem",
        subject: "CN=backup1.example.org",
        issuer: "CN=backup1.example.org",
        san: ["backup1.example.org", "localhost", "127.0.0.1"],
        fingerprint: FINGERPRINT,
        notbefore: NOW - 200 * DAY,
        notafter: NOW + 3_450 * DAY,
        "public-key-type": "rsaEncryption",
        "public-key-bits": 4_096,
        pem: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
      },
    ],
  },
  "/nodes/{node}/rrd": () => {
    const random = numbers(3);
    return {
      data: Array.from({ length: 70 }, (_, row) => ({
        time: NOW - (NOW % HOUR) - (69 - row) * HOUR,
        cpu: 0.1 + 0.3 * random(),
        iowait: 0.03 * random(),
        loadavg: 0.5 + 2 * random(),
        memtotal: 64 * GIB,
        memused: (18 + 4 * random()) * GIB,
        swaptotal: 8 * GIB,
        swapused: 0,
        netin: 40e6 * random(),
        netout: 12e6 * random(),
        total: 220 * GIB,
        used: 31 * GIB,
        read_bytes: 8e6 * random(),
        write_bytes: 30e6 * random(),
        read_ios: 120 * random(),
        write_ios: 300 * random(),
        io_ticks: 200 * random(),
      })),
    };
  },
};

const snapshots = { verified: 49, failed: 1, unverified: 6, unfinished: 0, unreadable: 0 };

export const nodeTexts: Texts = {
  "/farhold/metrics": [
    ...Object.entries(snapshots).map(
      ([state, count]) => `farhold_datastore_snapshots{datastore="tank",state="${state}"} ${count}.0\n`,
    ),
    `farhold_datastore_counted_timestamp_seconds{datastore="tank"} ${NOW - 2 * MINUTE}.0\n`,
  ].join(""),
};
