// Editing the expert settings of a datastore.

import { NumberInput, Text } from "@mantine/core";
import { FormDialog } from "../../parts/dialog";
import { texts } from "../../texts";
import { AFTER_CHANGE, writeConfig } from "./config";
import { Choice, type OptionsDialogProps } from "./dialogs";
import { tuningText, TUNING_NUMBERS, tuningValues, type TuningNumber, type TuningValues } from "./tuning";

export function TuningDialog({ answer, onClose }: OptionsDialogProps) {
  const { name, tuning } = answer.data;
  const start = tuningValues(tuning);
  return (
    <FormDialog<TuningValues, void>
      title={texts.options.editOf(texts.options.tuning, name)}
      values={start}
      send={(values) => writeConfig(answer, { tuning: tuningText(start) }, { tuning: tuningText(values) })}
      refresh={AFTER_CHANGE}
      done={texts.common.saved}
      onClose={onClose}
    >
      {(form) => (
        <>
          <Text size="sm">{texts.options.tuningHint}</Text>
          <Choice
            form={form}
            name="chunk-order"
            label={texts.options.chunkOrder}
            choices={texts.options.chunkOrders}
            preset={texts.options.presetWord(texts.options.chunkOrders.inode)}
          />
          <Choice
            form={form}
            name="sync-level"
            label={texts.options.syncLevel}
            choices={texts.options.syncLevels}
            preset={texts.options.presetWord(texts.options.syncLevels.filesystem)}
          />
          <Choice
            form={form}
            name="gc-atime-safety-check"
            label={texts.options.safetyCheck}
            choices={texts.options.safetyChecks}
            preset={texts.options.presetWord(texts.options.safetyChecks["1"])}
          />
          {(Object.keys(TUNING_NUMBERS) as TuningNumber[]).map((field) => {
            const { min, max, preset } = TUNING_NUMBERS[field];
            return (
              <NumberInput
                key={field}
                label={texts.options.numbers[field]}
                placeholder={texts.options.preset(preset)}
                min={min}
                max={max}
                allowDecimal={false}
                allowNegative={false}
                {...form.getInputProps(field)}
              />
            );
          })}
        </>
      )}
    </FormDialog>
  );
}
