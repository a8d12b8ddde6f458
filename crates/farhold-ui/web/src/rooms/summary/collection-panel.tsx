// The last garbage collection of a datastore.

import { Anchor } from "@mantine/core";
import { Link } from "react-router";
import { useRead } from "../../api/hooks";
import { CALM_SECONDS } from "../../api/server";
import { Loaded } from "../../parts/failure";
import { Panel } from "../../parts/page";
import { texts } from "../../texts";
import { CollectionFacts, useCollections } from "../prune/collection";

const words = texts.summary;

export function CollectionPanel({ store }: { store: string }) {
  const gc = useRead("/admin/datastore/{store}/gc", { params: { path: { store } } }, { every: CALM_SECONDS });
  const running = useCollections().get(store);
  return (
    <Panel
      title={words.gc}
      actions={
        <Anchor component={Link} size="sm" to={`/datastore/${store}/prune`}>
          {words.gcMore}
        </Anchor>
      }
    >
      <Loaded query={gc}>
        {(status) => <CollectionFacts gc={status} {...(running === undefined ? {} : { running })} />}
      </Loaded>
    </Panel>
  );
}
