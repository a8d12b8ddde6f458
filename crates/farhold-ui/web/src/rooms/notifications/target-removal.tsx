// Removing a target, or putting one back that is always there.

import { Text } from "@mantine/core";
import { call } from "../../api/client";
import { RemovalDialog } from "../../parts/dialog";
import { texts } from "../../texts";
import { useMatchers, type Kind, type Target } from "./data";

const words = texts.notifications;

function remove(kind: Kind, name: string): Promise<unknown> {
  const init = { params: { path: { name } } };
  switch (kind) {
    case "sendmail":
      return call("delete", "/config/notifications/endpoints/sendmail/{name}", init);
    case "smtp":
      return call("delete", "/config/notifications/endpoints/smtp/{name}", init);
    case "gotify":
      return call("delete", "/config/notifications/endpoints/gotify/{name}", init);
    case "webhook":
      return call("delete", "/config/notifications/endpoints/webhook/{name}", init);
  }
}

export function TargetRemoval({ target: { name, type, origin }, onClose }: { target: Target; onClose: () => void }) {
  const matchers = useMatchers();
  const users = matchers.data?.filter((matcher) => matcher.target?.includes(name)).map((matcher) => matcher.name) ?? [];
  const isMade = origin === "user-created";
  return (
    <RemovalDialog
      title={isMade ? words.removeTarget(name) : words.resetTarget(name)}
      name={name}
      remove={() => remove(type, name)}
      refresh={["/config/notifications/targets"]}
      done={isMade ? texts.common.removed(name) : texts.common.saved}
      {...(isMade ? {} : { submit: words.reset })}
      onClose={onClose}
    >
      <Text size="sm">{isMade ? words.targetGone : words.resets}</Text>
      {users.length > 0 && <Text size="sm">{words.usedBy(users.join(", "))}</Text>}
    </RemovalDialog>
  );
}
