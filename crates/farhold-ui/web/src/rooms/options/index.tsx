// The options of one datastore, and what can be done with it as a whole.

import { Anchor, Button, Group, Text } from "@mantine/core";
import { useState, type ReactNode } from "react";
import { Link } from "react-router";
import { useAnswer } from "../../api/hooks";
import { usePrivileges } from "../../api/server";
import { Facts } from "../../parts/facts";
import { Loaded } from "../../parts/failure";
import { OnceInDialog } from "../../parts/once";
import { Columns, Panel } from "../../parts/page";
import { State } from "../../parts/state";
import { texts } from "../../texts";
import { RemoveDatastore } from "../datastores/remove";
import { RepairDialog } from "../datastores/repair";
import type { Config } from "./config";
import { GeneralDialog, MaintenanceDialog, NOTIFY_KINDS, NotificationDialog, type OptionsDialogProps } from "./dialogs";
import { parseMaintenance, parseProperties } from "./properties";
import { TUNING_NUMBERS, tuningValues, type TuningNumber } from "./tuning";
import { TuningDialog } from "./tuning-dialog";

const DIALOGS = {
  general: GeneralDialog,
  notifications: NotificationDialog,
  maintenance: MaintenanceDialog,
  tuning: TuningDialog,
} as const;

type Section = keyof typeof DIALOGS;
type Open = Section | "repair" | "remove";

const FACTS: Record<Section, (config: Config) => readonly (readonly [string, ReactNode])[]> = {
  general: generalFacts,
  notifications: notificationFacts,
  maintenance: maintenanceFacts,
  tuning: tuningFacts,
};

export default function Options({ store }: { store: string }) {
  const config = useAnswer("/config/datastore/{name}", { params: { path: { name: store } } });
  const can = usePrivileges();
  const [open, setOpen] = useState<Open>();
  const close = () => setOpen(undefined);
  const mayChange = can(`/datastore/${store}`, "Datastore.Modify");
  return (
    <>
      <Loaded query={config}>
        {({ data }) => (
          <Columns>
            {(Object.keys(DIALOGS) as Section[]).map((section) => (
              <Panel
                key={section}
                title={texts.options[section]}
                actions={
                  <Button
                    size="compact-sm"
                    variant="default"
                    aria-label={texts.options.editThe(texts.options[section])}
                    onClick={() => setOpen(section)}
                    disabled={!mayChange}
                  >
                    {texts.options.edit}
                  </Button>
                }
              >
                <Facts rows={FACTS[section](data)} />
              </Panel>
            ))}
          </Columns>
        )}
      </Loaded>
      <Panel title={texts.options.more}>
        <Group gap="xs">
          <Button variant="default" onClick={() => setOpen("repair")} disabled={!mayChange}>
            {texts.options.repair}
          </Button>
          <Button
            color="red"
            variant="light"
            onClick={() => setOpen("remove")}
            disabled={!can(`/datastore/${store}`, "Datastore.Allocate")}
          >
            {texts.options.removeStore}
          </Button>
        </Group>
      </Panel>
      {open === "repair" && <RepairDialog store={store} onClose={close} />}
      {open === "remove" && <RemoveDatastore store={store} onClose={close} />}
      {open !== undefined && open in DIALOGS && (
        <SectionDialog store={store} section={open as Section} onClose={close} />
      )}
    </>
  );
}

function SectionDialog({ store, section, onClose }: { store: string; section: Section; onClose: () => void }) {
  const config = useAnswer("/config/datastore/{name}", { params: { path: { name: store } } });
  const Opened: (props: OptionsDialogProps) => ReactNode = DIALOGS[section];
  return (
    <OnceInDialog query={config} title={texts.options.editOf(texts.options[section], store)} onClose={onClose}>
      {(answer) => <Opened answer={answer} onClose={onClose} />}
    </OnceInDialog>
  );
}

function generalFacts(config: Config) {
  return [
    [texts.options.path, config.path],
    [texts.options.device, config["backing-device"]],
    [texts.options.backend, config.backend],
    [texts.common.comment, config.comment ?? texts.common.none],
    [texts.options.verifyNew, config["verify-new"] ? texts.common.yes : texts.common.no],
    [
      texts.options.gcSchedule,
      <Anchor component={Link} to={`/datastore/${config.name}/prune`} size="sm" title={texts.options.gcHint}>
        {config["gc-schedule"] ?? texts.upkeep.byHand}
      </Anchor>,
    ],
    [
      texts.options.gcOnUnmount,
      config["backing-device"] && (config["gc-on-unmount"] ? texts.common.yes : texts.common.no),
    ],
  ] as const;
}

function notificationFacts(config: Config) {
  const mode = config["notification-mode"];
  const notify = parseProperties(config.notify);
  const when: Readonly<Record<string, string>> = texts.options.when;
  return [
    [texts.options.mode, mode ? texts.options.modes[mode] : texts.options.modeDefault],
    [texts.options.notifyUser, config["notify-user"]],
    ...NOTIFY_KINDS.map((kind) => {
      const word = notify[kind];
      return [texts.options.notify[kind], word === undefined ? undefined : (when[word] ?? word)] as const;
    }),
  ] as const;
}

function maintenanceFacts(config: Config) {
  const { type, message } = parseMaintenance(config["maintenance-mode"]);
  return [
    [
      texts.common.state,
      type === "" ? (
        texts.options.maintenanceNone
      ) : (
        <State tone="warning">{texts.options.maintenanceNames[type] ?? type}</State>
      ),
    ],
    [texts.options.message, message === "" ? undefined : message],
  ] as const;
}

function tuningFacts(config: Config) {
  const values = tuningValues(config.tuning);
  const words = (all: Readonly<Record<string, string>>, word: string) =>
    word === "" ? texts.options.isDefault : (all[word] ?? word);
  return [
    [texts.options.chunkOrder, words(texts.options.chunkOrders, values["chunk-order"])],
    [texts.options.syncLevel, words(texts.options.syncLevels, values["sync-level"])],
    [texts.options.safetyCheck, words(texts.options.safetyChecks, values["gc-atime-safety-check"])],
    ...(Object.keys(TUNING_NUMBERS) as TuningNumber[]).map((name) => {
      const value = values[name];
      const shown = value === "" ? <Text size="sm">{texts.options.preset(TUNING_NUMBERS[name].preset)}</Text> : value;
      return [texts.options.numbers[name], shown] as const;
    }),
  ] as const;
}
