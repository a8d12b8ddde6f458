// What stands where a datastore's content would be while its device is away. That is how removable ones mostly are, and
// no failure.

import { Button, Text } from "@mantine/core";
import { Failure } from "../../parts/failure";
import { Panel } from "../../parts/page";
import { texts } from "../../texts";
import { useMount } from "../datastores/mount";

export function NotMounted({ store }: { store: string }) {
  const { mount, mayMount } = useMount();
  return (
    <Panel title={texts.datastores.notMounted}>
      <Text size="sm" mb="sm">
        {texts.datastores.notMountedHint}
      </Text>
      <Button onClick={() => mount.mutate(store)} loading={mount.isPending} disabled={!mayMount(store)}>
        {texts.datastores.mount}
      </Button>
      <Failure error={mount.error} />
    </Panel>
  );
}
