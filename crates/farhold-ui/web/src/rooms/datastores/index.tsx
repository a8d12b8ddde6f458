import { Page } from "../../parts/page";
import { texts } from "../../texts";

export default function Datastores() {
  return <Page title={texts.shell.datastores}>{texts.common.nothing}</Page>;
}
