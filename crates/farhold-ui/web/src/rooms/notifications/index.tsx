// Who is told of what: targets and matchers.

import { Page } from "../../parts/page";
import { texts } from "../../texts";
import { Matchers } from "./matchers";
import { Targets } from "./targets";

export default function Notifications() {
  return (
    <Page title={texts.notifications.title}>
      <Targets />
      <Matchers />
    </Page>
  );
}
