import { Page } from "../../parts/page";
import { texts } from "../../texts";

export default function Tasks() {
  return <Page title={texts.shell.tasks}>{texts.common.nothing}</Page>;
}
