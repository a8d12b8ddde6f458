import { expect, test } from "vitest";
import { addressOf, fingerprintOf, isFingerprint } from "./address";

test("a host may be pasted with its port or as the address of its web interface", () => {
  expect(addressOf(" pbs2.example ")).toEqual({ host: "pbs2.example" });
  expect(addressOf("pbs2.example:8443")).toEqual({ host: "pbs2.example", port: 8443 });
  expect(addressOf("https://10.0.0.2:8007/#pbsDashboard")).toEqual({ host: "10.0.0.2", port: 8007 });
  expect(addressOf("[fd00::2]:8007")).toEqual({ host: "fd00::2", port: 8007 });
  expect(addressOf("fd00::2")).toEqual({ host: "fd00::2" });
});

test("a fingerprint is taken with and without colons, in any case", () => {
  const pairs = Array.from({ length: 32 }, (_, at) => at.toString(16).padStart(2, "0"));
  const expected = pairs.join(":");
  for (const text of [expected, expected.toUpperCase(), pairs.join(""), ` ${pairs.join(" ")}\n`]) {
    expect(fingerprintOf(text)).toBe(expected);
    expect(isFingerprint(text)).toBe(true);
  }
  expect(fingerprintOf(" ab:cd ")).toBe("ab:cd");
  for (const text of ["", "ab:cd", `${expected}:00`, expected.replace("0", "g")])
    expect(isFingerprint(text)).toBe(false);
});
