import { Page } from "../../parts/page";
import { texts } from "../../texts";

export default function Traffic() {
  return <Page title={texts.shell.traffic}>{texts.common.nothing}</Page>;
}
