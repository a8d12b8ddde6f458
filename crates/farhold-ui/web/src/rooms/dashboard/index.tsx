import { Page } from "../../parts/page";
import { texts } from "../../texts";

export default function Dashboard() {
  return <Page title={texts.shell.dashboard}>{texts.common.nothing}</Page>;
}
