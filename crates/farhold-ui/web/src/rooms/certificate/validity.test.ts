import { expect, test } from "vitest";
import { texts } from "../../texts";
import { faultsOf, validityOf } from "./validity";

const DAY = 86400;

test("a certificate is told to end before it does", () => {
  const tone = (now: number) => validityOf(10 * DAY, 100 * DAY, now)[0];
  expect([tone(9 * DAY), tone(10 * DAY), tone(69 * DAY), tone(71 * DAY), tone(100 * DAY)]).toEqual([
    "bad",
    "good",
    "good",
    "warning",
    "bad",
  ]);
  expect(validityOf(undefined, 100 * DAY, 98 * DAY)[1]).toBe(texts.certificate.ends("2 d"));
  expect(validityOf(undefined, undefined, 0)).toEqual(["good", texts.certificate.valid]);
});

const CHAIN = "-----BEGIN CERTIFICATE-----\nMIIF\n-----END CERTIFICATE-----\n";
const KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n";

test("texts that are no PEM, or stand in the wrong field, are told before they are sent", () => {
  const { noPem, keyInChain, noKeyPem } = texts.certificate;
  expect(faultsOf({ certificates: CHAIN + CHAIN, key: "" })).toEqual({});
  expect(faultsOf({ certificates: CHAIN, key: KEY.replace("EC ", "") })).toEqual({});
  expect(faultsOf({ certificates: "", key: CHAIN })).toEqual({ certificates: noPem, key: noKeyPem });
  expect(faultsOf({ certificates: KEY + CHAIN, key: KEY })).toEqual({ certificates: keyInChain });
});
