// Starting a verification of a group, or of a namespace with those below it.

import { Checkbox, NumberInput } from "@mantine/core";
import { call } from "../../api/client";
import { FormDialog } from "../../parts/dialog";
import { useTaskView } from "../../shell/task-link";
import { texts } from "../../texts";
import type { Place } from "./download";
import { groupParameters, inNamespace, snapshotParameters, type Group, type Snapshot } from "./model";
import { nameOf } from "./namespaces";

const words = texts.content.verifyDialog;
const MAX_DEPTH = 7;

/** Starts to verify one snapshot, whenever it was verified before. */
export function verifySnapshot({ store, ns }: Place, snapshot: Snapshot) {
  const body = { ...inNamespace(ns), ...snapshotParameters(snapshot), "ignore-verified": false };
  return call("post", "/admin/datastore/{store}/verify", { params: { path: { store } }, body });
}

/** Starts to verify all snapshots of a group, whenever they were verified before. */
export function verifyGroup({ store, ns }: Place, group: Group) {
  const body = { ...inNamespace(ns), ...groupParameters(group), "ignore-verified": false };
  return call("post", "/admin/datastore/{store}/verify", { params: { path: { store } }, body });
}

type Values = { "ignore-verified": boolean; "outdated-after": number | ""; "max-depth": number | "" };

/** `group`: absent for the namespace. */
export function VerifyDialog({ place, group, onClose }: { place: Place; group?: Group; onClose: () => void }) {
  const task = useTaskView();
  const values: Values = { "ignore-verified": true, "outdated-after": 30, "max-depth": "" };
  return (
    <FormDialog
      title={group ? words.title(group.name) : texts.content.namespaces.verifyOf(nameOf(place.ns))}
      values={values}
      submit={texts.content.verify}
      validate={(current) => ({
        ...(isWhole(current["outdated-after"]) ? {} : { "outdated-after": words.daysWrong }),
        ...(isWhole(current["max-depth"]) && Number(current["max-depth"]) <= MAX_DEPTH
          ? {}
          : { "max-depth": texts.content.namespaces.depthWrong }),
      })}
      send={async (current) => {
        const { data } = await call("post", "/admin/datastore/{store}/verify", {
          params: { path: { store: place.store } },
          body: {
            ...inNamespace(place.ns),
            ...(group ? groupParameters(group) : {}),
            "ignore-verified": current["ignore-verified"],
            ...(current["ignore-verified"] && current["outdated-after"] !== ""
              ? { "outdated-after": current["outdated-after"] }
              : {}),
            ...(current["max-depth"] === "" ? {} : { "max-depth": current["max-depth"] }),
          },
        });
        return data;
      }}
      onDone={task.open}
      onClose={onClose}
    >
      {(form) => (
        <>
          <Checkbox
            label={words.ignoreVerified}
            data-autofocus
            {...form.getInputProps("ignore-verified", { type: "checkbox" })}
          />
          <NumberInput
            label={words.outdatedAfter}
            description={words.outdatedHint}
            min={0}
            allowDecimal={false}
            disabled={!form.values["ignore-verified"]}
            {...form.getInputProps("outdated-after")}
          />
          {!group && (
            <NumberInput
              label={texts.content.namespaces.maxDepth}
              description={texts.content.namespaces.maxDepthHint}
              min={0}
              max={MAX_DEPTH}
              allowDecimal={false}
              {...form.getInputProps("max-depth")}
            />
          )}
        </>
      )}
    </FormDialog>
  );
}

const isWhole = (value: number | ""): boolean => value === "" || (Number.isInteger(value) && value >= 0);
