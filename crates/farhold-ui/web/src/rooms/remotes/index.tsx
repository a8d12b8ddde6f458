import { Page } from "../../parts/page";
import { texts } from "../../texts";

export default function Remotes() {
  return <Page title={texts.shell.remotes}>{texts.common.nothing}</Page>;
}
