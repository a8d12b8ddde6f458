import { expect, test } from "vitest";
import { parseUpid } from "./upid";

test("a UPID is taken apart and its id decoded", () => {
  const upid =
    "UPID:pbs:000002D5:00000C35:00000003:65D8F1A0:syncjob:offsite\\x3atank\\x3atank\\x3a\\x3as\\x2d1:root@pam:";
  expect(parseUpid(upid)).toEqual({
    upid,
    node: "pbs",
    started: 0x65d8f1a0,
    type: "syncjob",
    id: "offsite:tank:tank::s-1",
    user: "root@pam",
  });
  const group = parseUpid("UPID:pbs:000002D5:00000C35:00000003:65D8F1A0:verify_group:tank\\x3a-vm-100:root@pam:");
  expect(group?.id).toBe("tank:/vm/100");
  expect(parseUpid("UPID:pbs")).toBeUndefined();
});
