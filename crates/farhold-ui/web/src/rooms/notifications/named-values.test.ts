import { expect, test } from "vitest";
import { fromBase64, toBase64 } from "./base64";
import { flawOf, formatNamedValue, parseNamedValue } from "./named-values";

test("text survives base64, whatever its letters", () => {
  expect(toBase64("{}")).toBe("e30=");
  for (const text of ["", "plain", "grün – 備份 🗄", "a\nb"]) expect(fromBase64(toBase64(text))).toBe(text);
  expect(fromBase64("not base64!")).toBe("");
});

test("a header is read and written", () => {
  const header = parseNamedValue("name=X-Key,value=YQ==");
  expect(header).toEqual({ name: "X-Key", value: "a", isStored: false });
  expect(formatNamedValue(header)).toBe("name=X-Key,value=YQ==");
  expect(parseNamedValue("value=YQ==,name=X-Key")).toEqual(header);
});

test("names that need quotes get them", () => {
  const odd = { name: 'a,"b\\', value: "x", isStored: false };
  expect(formatNamedValue(odd)).toBe('name="a,\\"b\\\\",value=eA==');
  expect(parseNamedValue(formatNamedValue(odd))).toEqual(odd);
});

test("a stored secret stays unless it is typed anew", () => {
  const stored = parseNamedValue("name=token");
  expect(stored).toEqual({ name: "token", value: "", isStored: true });
  expect(formatNamedValue(stored)).toBe("name=token");
  expect(formatNamedValue({ ...stored, value: "b" })).toBe("name=token,value=Yg==");
});

test("nameless, doubled and empty ones are told apart", () => {
  const named = (name: string, value = "v", isStored = false) => ({ name, value, isStored });
  expect(flawOf([named("a"), named("b")], true)).toBeUndefined();
  expect(flawOf([named(" ")], true)).toEqual({ what: "nameless" });
  expect(flawOf([named("a"), named("a ")], true)).toEqual({ what: "twice", name: "a" });
  expect(flawOf([named("a", "")], true)).toEqual({ what: "valueless", name: "a" });
  expect(flawOf([named("a", "", true)], true)).toBeUndefined();
  expect(flawOf([named("a", "")], false)).toBeUndefined();
});
