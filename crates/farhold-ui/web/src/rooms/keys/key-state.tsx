// Whether a key encrypts what is new, or only decrypts what is old.

import { State } from "../../parts/state";
import { dateTime } from "../../format/time";
import { texts } from "../../texts";

export function KeyState({ archivedAt }: { archivedAt: number | undefined }) {
  return archivedAt === undefined ? (
    <State tone="good">{texts.keys.state.active}</State>
  ) : (
    <State tone="quiet" title={dateTime(archivedAt)}>
      {texts.keys.state.archived}
    </State>
  );
}
