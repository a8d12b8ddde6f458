// The fields for what a prune keeps, and what that means in words.

import { NumberInput, SimpleGrid, Text } from "@mantine/core";
import { texts } from "../../texts";
import type { Form } from "../dialog";
import { KEEPS, keepOf, keepsAll, type Keep, type KeepValues } from "./keep";

/** Six fields, with a sentence about what they mean together. */
export function KeepFields<Values extends KeepValues>({ form }: { form: Form<Values> }) {
  return (
    <div>
      <SimpleGrid cols={{ base: 2, sm: 3 }} spacing="xs">
        {KEEPS.map((name) => (
          <NumberInput
            key={name}
            label={texts.upkeep.keeps[name]}
            min={1}
            allowDecimal={false}
            allowNegative={false}
            {...form.getInputProps(name)}
          />
        ))}
      </SimpleGrid>
      <Text size="sm" mt="xs" role="status">
        {keepMeaning(keepOf(form.values))}
      </Text>
    </div>
  );
}

/** Returns what is kept of each group, as a sentence. */
export function keepMeaning(keep: Keep): string {
  if (keepsAll(keep)) return texts.upkeep.keepsAll;
  const parts = KEEPS.flatMap((name) => {
    const count = keep[name];
    return count ? [texts.upkeep.keepMeaning[name](count)] : [];
  });
  return texts.upkeep.keepMeanings(parts);
}

/** Returns the settings in short, as lists show them. */
export function keepShort(keep: Keep): string {
  const parts = KEEPS.flatMap((name) => {
    const count = keep[name];
    return count ? [texts.upkeep.keepShort[name](count)] : [];
  });
  return parts.join(", ");
}
