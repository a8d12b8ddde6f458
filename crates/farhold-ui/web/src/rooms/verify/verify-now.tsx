// Verifying a datastore, or a part of it, by hand.

import { withoutEmpty } from "../../api/changes";
import { call } from "../../api/client";
import { FormDialog } from "../../parts/dialog";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import { VerifyFields, verifyOptionsOf, verifyValues, type VerifyValues } from "./verify-fields";

export function VerifyNow({ store, onClose }: { store: string; onClose: () => void }) {
  const { open } = useTaskView();
  return (
    <FormDialog<VerifyValues, string>
      title={texts.verify.nowTitle(store)}
      values={verifyValues({ "outdated-after": 30 })}
      send={async (values) => {
        const body = withoutEmpty(verifyOptionsOf(values));
        const path = { store };
        return (await call("post", "/admin/datastore/{store}/verify", { params: { path }, body })).data;
      }}
      submit={texts.verify.start}
      onDone={open}
      onClose={onClose}
    >
      {(form) => <VerifyFields form={form} store={store} hasOwnThreads />}
    </FormDialog>
  );
}
