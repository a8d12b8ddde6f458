import { Page } from "../../parts/page";
import { texts } from "../../texts";

export default function Certificate() {
  return <Page title={texts.shell.certificate}>{texts.common.nothing}</Page>;
}
