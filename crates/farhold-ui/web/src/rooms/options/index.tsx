import { Text } from "@mantine/core";
import { texts } from "../../texts";

export default function Options({ store }: { store: string }) {
  return (
    <Text>
      {store}: {texts.common.nothing}
    </Text>
  );
}
