import { expect, test } from "vitest";
import { failureOf } from "./failure";

test("errors of parameters are told per field", () => {
  const failure = failureOf(
    400,
    "parameter verification failed:\n- 'path': parameter is missing and it is not optional.\n- 'role': no such role",
  );
  expect(failure.fields).toEqual({ path: "parameter is missing and it is not optional.", role: "no such role" });
  expect(failureOf(400, "parameter verification failed - 'id': value is too short\n").fields).toEqual({
    id: "value is too short",
  });
});

test("an error of an entry belongs to the field of its list", () => {
  const words = "unable to parse daily duration at 'nonsense': expected a weekday";
  expect(failureOf(400, `parameter verification failed - 'timeframe/[1]': ${words}`).fields).toEqual({
    timeframe: words,
  });
});

test("other errors keep the server's words, and an empty one says at least its status", () => {
  expect(failureOf(400, "no such job 'a': b\n")).toMatchObject({ message: "no such job 'a': b", fields: {} });
  expect(failureOf(502, "")).toMatchObject({ status: 502, message: "the server answered with status 502" });
});
