// What the user may do, which everybody may know of oneself.

import { useRead } from "../../api/hooks";
import { Loaded } from "../../parts/failure";
import { Table, type Column } from "../../parts/table";
import { texts } from "../../texts";
import { sayPrivileges } from "./privileges";

const words = texts.access;

interface Place {
  path: string;
  privileges: string;
}

const COLUMNS: Column<Place>[] = [
  { id: "path", title: words.path, value: (place) => place.path, width: "30%" },
  { id: "privileges", title: words.check.privileges, value: (place) => place.privileges },
];

/** `path`: the only one to look at; all that permissions name if absent. */
export function OwnPrivileges({ path }: { path?: string }) {
  const own = useRead("/access/permissions", { params: { query: path === undefined ? {} : { path } } });
  return (
    <Loaded query={own}>
      {(places) => (
        <Table
          label={words.check.privileges}
          rows={Object.entries(places).map(([at, privileges]) => ({ path: at, privileges: sayPrivileges(privileges) }))}
          columns={COLUMNS}
          rowKey={(place) => place.path}
          sorting={{ column: "path", direction: "up" }}
          empty={words.ownNothing}
        />
      )}
    </Loaded>
  );
}
