import { expect, test } from "vitest";
import { parseMaintenance, parseProperties, writeMaintenance, writeProperties } from "./properties";

test("parts are read by name, with quotes and escapes", () => {
  expect(parseProperties("chunk-order=none,sync-level=file")).toEqual({ "chunk-order": "none", "sync-level": "file" });
  expect(parseProperties('offline,message="a, \\"b\\" \\\\ c"', "type")).toEqual({
    type: "offline",
    message: 'a, "b" \\ c',
  });
  expect(parseProperties('"x=y"', "type")).toEqual({ type: "x=y" });
  expect(parseProperties("")).toEqual({});
  expect(parseProperties(undefined)).toEqual({});
});

test("what is written is read again, and empty parts are left out", () => {
  const values = { type: "s3", bucket: 'a,"b"', client: "" };
  expect(writeProperties(values, "type")).toBe('s3,bucket="a,\\"b\\""');
  expect(parseProperties(writeProperties(values, "type"), "type")).toEqual({ type: "s3", bucket: 'a,"b"' });
  expect(writeProperties({ gc: "", verify: "error" })).toBe("verify=error");
  expect(writeProperties({})).toBe("");
});

test("the message of a maintenance mode may hold any sign", () => {
  const mode = { type: "offline", message: '100 % full, "soon" \\ back' };
  const text = writeMaintenance(mode);
  expect(text).toBe("offline,message=100 %25 full%2C %22soon%22 %5C back");
  expect(parseMaintenance(text)).toEqual(mode);
  expect(parseMaintenance("read-only")).toEqual({ type: "read-only", message: "" });
  expect(parseMaintenance("offline,message=50%")).toEqual({ type: "offline", message: "50%" });
  expect(writeMaintenance({ type: "", message: "x" })).toBe("");
  expect(parseMaintenance(undefined)).toEqual({ type: "", message: "" });
});
