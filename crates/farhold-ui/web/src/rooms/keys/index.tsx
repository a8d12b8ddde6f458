import { Page } from "../../parts/page";
import { texts } from "../../texts";

export default function Keys() {
  return <Page title={texts.shell.keys}>{texts.common.nothing}</Page>;
}
