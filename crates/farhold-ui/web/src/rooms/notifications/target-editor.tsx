// The form for a target of any kind.

import type { Kind } from "./data";
import { GotifyTarget } from "./gotify";
import { SendmailTarget } from "./sendmail";
import { SmtpTarget } from "./smtp";
import type { TargetProps } from "./target-props";
import { WebhookTarget } from "./webhook";

const EDITORS: Record<Kind, (props: TargetProps) => React.JSX.Element> = {
  sendmail: SendmailTarget,
  smtp: SmtpTarget,
  gotify: GotifyTarget,
  webhook: WebhookTarget,
};

export function TargetEditor({ kind, ...props }: TargetProps & { kind: Kind }) {
  const Editor = EDITORS[kind];
  return <Editor {...props} />;
}
