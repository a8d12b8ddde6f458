import { Text } from "@mantine/core";
import { texts } from "../../texts";

/** Of one datastore, or of all. */
export function PruneJobs({ store }: { store?: string }) {
  return (
    <Text>
      {store}: {texts.common.nothing}
    </Text>
  );
}
