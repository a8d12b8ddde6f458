import { expect, test } from "vitest";
import { texts } from "../../texts";
import { keyFileOf, keyFileText } from "./key-file";

test("what is no usable key file is told before it is sent", () => {
  expect(keyFileOf("-----BEGIN")).toEqual({ fault: texts.keys.noJson });
  for (const text of ["null", "[]", "{}", '{"kdf":null,"data":7}'])
    expect(keyFileOf(text)).toEqual({ fault: texts.keys.noKey });
  expect(keyFileOf('{"kdf":{"Scrypt":{"n":65536}},"data":"x"}')).toEqual({ fault: texts.keys.isProtected });
});

test("a file that was written can be read again", () => {
  const key = { kdf: null, created: "2026-05-01T00:00:00Z", modified: "2026-05-01T00:00:00Z", data: "AAAA" };
  expect(keyFileOf(keyFileText({ ...key, fingerprint: "aa:bb" }))).toEqual({ fingerprint: "aa:bb" });
  expect(keyFileOf(keyFileText(key))).toEqual({});
  expect(JSON.parse(keyFileText(key))).toEqual(key);
});
