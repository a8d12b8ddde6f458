// Editing options of a datastore, a group of them at a time.

import { Select, SimpleGrid, Stack, Switch, Text, TextInput } from "@mantine/core";
import { useRead } from "../../api/hooks";
import { LIVE_SECONDS } from "../../api/server";
import { FormDialog, type Form } from "../../parts/dialog";
import { texts } from "../../texts";
import { AFTER_CHANGE, writeConfig, type Config, type ConfigAnswer } from "./config";
import { parseMaintenance, parseProperties, writeMaintenance, writeProperties } from "./properties";

export interface OptionsDialogProps {
  answer: ConfigAnswer;
  onClose: () => void;
}

type General = { comment: string; "verify-new": boolean; "gc-on-unmount": boolean };

export function GeneralDialog({ answer, onClose }: OptionsDialogProps) {
  const config = answer.data;
  const before: General = {
    comment: config.comment ?? "",
    "verify-new": config["verify-new"] ?? false,
    "gc-on-unmount": config["gc-on-unmount"] ?? false,
  };
  return (
    <FormDialog<General, void>
      title={texts.options.editOf(texts.options.general, config.name)}
      values={before}
      send={(values) => writeConfig(answer, before, { ...values, comment: values.comment.trim() })}
      refresh={AFTER_CHANGE}
      done={texts.common.saved}
      onClose={onClose}
    >
      {(form) => (
        <>
          <TextInput label={texts.common.comment} autoComplete="off" {...form.getInputProps("comment")} />
          <Switch
            label={texts.options.verifyNew}
            description={texts.options.verifyNewHint}
            {...form.getInputProps("verify-new", { type: "checkbox" })}
          />
          {config["backing-device"] && (
            <Switch label={texts.options.gcOnUnmount} {...form.getInputProps("gc-on-unmount", { type: "checkbox" })} />
          )}
        </>
      )}
    </FormDialog>
  );
}

export const NOTIFY_KINDS = ["gc", "verify", "sync", "prune"] as const;
type Kind = (typeof NOTIFY_KINDS)[number];
type Notify = Record<Kind, string> & { "notification-mode": string; "notify-user": string };

function notifyPart(values: Notify): Pick<Config, "notification-mode" | "notify-user" | "notify"> {
  const mode = values["notification-mode"];
  return {
    "notification-mode": mode === "" ? undefined : (mode as Config["notification-mode"]),
    "notify-user": values["notify-user"].trim(),
    notify: writeProperties(Object.fromEntries(NOTIFY_KINDS.map((kind) => [kind, values[kind]]))),
  };
}

export function NotificationDialog({ answer, onClose }: OptionsDialogProps) {
  const config = answer.data;
  const notify = parseProperties(config.notify);
  const start: Notify = {
    "notification-mode": config["notification-mode"] ?? "",
    "notify-user": config["notify-user"] ?? "",
    gc: notify["gc"] ?? "",
    verify: notify["verify"] ?? "",
    sync: notify["sync"] ?? "",
    prune: notify["prune"] ?? "",
  };
  return (
    <FormDialog<Notify, void>
      title={texts.options.editOf(texts.options.notifications, config.name)}
      values={start}
      send={(values) => writeConfig(answer, notifyPart(start), notifyPart(values))}
      refresh={AFTER_CHANGE}
      done={texts.common.saved}
      onClose={onClose}
    >
      {(form) => (
        <>
          <Choice form={form} name="notification-mode" label={texts.options.mode} choices={texts.options.modes} />
          <Text size="sm">{texts.options.legacyHint}</Text>
          <TextInput
            label={texts.options.notifyUser}
            description={texts.options.notifyUserHint}
            autoComplete="off"
            {...form.getInputProps("notify-user")}
          />
          <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="xs">
            {NOTIFY_KINDS.map((kind) => (
              <Choice
                key={kind}
                form={form}
                name={kind}
                label={texts.options.notify[kind]}
                choices={texts.options.when}
                preset={texts.options.whenDefault[kind]}
              />
            ))}
          </SimpleGrid>
        </>
      )}
    </FormDialog>
  );
}

type MaintenanceValues = { type: string; message: string };

export function MaintenanceDialog({ answer, onClose }: OptionsDialogProps) {
  const config = answer.data;
  const start = parseMaintenance(config["maintenance-mode"]);
  const isOwn = start.type !== "" && !(start.type in texts.options.maintenanceModes);
  const busy = useRead(
    "/admin/datastore/{store}/active-operations",
    { params: { path: { store: config.name } } },
    { every: LIVE_SECONDS },
  );
  return (
    <FormDialog<MaintenanceValues, void>
      title={texts.options.editOf(texts.options.maintenance, config.name)}
      values={isOwn ? { type: "", message: "" } : start}
      send={(values) =>
        writeConfig(
          answer,
          { "maintenance-mode": isOwn ? config["maintenance-mode"] : writeMaintenance(start) },
          { "maintenance-mode": writeMaintenance(values) },
        )
      }
      refresh={AFTER_CHANGE}
      done={texts.common.saved}
      fieldOf={{ "maintenance-mode": "type" }}
      onClose={onClose}
    >
      {(form) => (
        <>
          {isOwn && (
            <Text size="sm" fw={600}>
              {texts.options.maintenanceOwn(texts.options.maintenanceNames[start.type] ?? start.type)}
            </Text>
          )}
          <Choice
            form={form}
            name="type"
            label={texts.options.maintenance}
            choices={texts.options.maintenanceModes}
            preset={texts.options.maintenanceNone}
          />
          {form.values.type !== "" && (
            <Stack gap="xs">
              <TextInput
                label={texts.options.message}
                description={texts.options.messageHint}
                maxLength={64}
                autoComplete="off"
                {...form.getInputProps("message")}
              />
              {busy.data && (
                <Text size="sm" role="status">
                  {texts.options.maintenanceActive(busy.data.read, busy.data.write)}
                </Text>
              )}
            </Stack>
          )}
        </>
      )}
    </FormDialog>
  );
}

interface ChoiceProps<Values extends Record<string, unknown>> {
  form: Form<Values>;
  name: keyof Values & string;
  label: string;
  choices: Readonly<Record<string, string>>;
  /** What an empty value means. */
  preset?: string;
}

/** Stands for "as by default" in the list of choices, where nothing may be empty. */
const PRESET = "-";

/** One of several words, or the default. */
export function Choice<Values extends Record<string, unknown>>({
  form,
  name,
  label,
  choices,
  preset = texts.options.modeDefault,
}: ChoiceProps<Values>) {
  const input = form.getInputProps(name);
  const value = String(form.values[name] ?? "");
  const known = Object.entries(choices).map(([word, text]) => ({ value: word, label: text }));
  // A word that is not known here is kept, not lost.
  const unknown = value !== "" && !(value in choices) ? [{ value, label: value }] : [];
  return (
    <Select
      label={label}
      data={[{ value: PRESET, label: preset }, ...known, ...unknown]}
      allowDeselect={false}
      {...input}
      value={value === "" ? PRESET : value}
      onChange={(chosen) => input.onChange(chosen === PRESET ? "" : (chosen ?? ""))}
    />
  );
}
