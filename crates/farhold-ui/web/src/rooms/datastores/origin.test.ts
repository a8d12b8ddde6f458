import { expect, test } from "vitest";
import { LOCAL, originOf } from "./origin";

test("copies come from a remote's datastore, or from another one here", () => {
  expect(originOf("offsite", " golden ")).toBe("offsite:golden");
  expect(originOf(LOCAL, "second")).toBe(":second");
});
