import { expect, test } from "vitest";
import { owns } from "./owner";

test("tokens of a user belong to it, not the user to its token", () => {
  expect([owns("a@pbs", "a@pbs"), owns("a@pbs", "a@pbs!t"), owns("a@pbs", "a@pbsx"), owns("a@pbs!t", "a@pbs")]).toEqual(
    [true, true, false, false],
  );
});
