import { Page } from "../../parts/page";
import { texts } from "../../texts";

export default function Access() {
  return <Page title={texts.shell.access}>{texts.common.nothing}</Page>;
}
