import { Page } from "../../parts/page";
import { texts } from "../../texts";

export default function Notifications() {
  return <Page title={texts.shell.notifications}>{texts.common.nothing}</Page>;
}
