// Who can log in, and what they may do.

import { useParams } from "react-router";
import { Page } from "../../parts/page";
import { Tabs } from "../../parts/tabs";
import { texts } from "../../texts";
import { CheckOrOwn } from "./check";
import { Permissions } from "./permissions";
import { Realms } from "./realms";
import { Roles } from "./roles";
import { Tokens } from "./tokens";
import { Users } from "./users";

type Tab = keyof typeof texts.access.tabs;

const TABS: Record<Tab, () => React.JSX.Element> = {
  users: () => <Users />,
  tokens: () => <Tokens />,
  permissions: () => <Permissions />,
  check: () => <CheckOrOwn />,
  roles: () => <Roles />,
  realms: () => <Realms />,
};

export default function Access() {
  const { tab } = useParams();
  const current: Tab = tab !== undefined && tab in TABS ? (tab as Tab) : "users";
  return (
    <Page title={texts.access.title}>
      <Tabs
        label={texts.access.title}
        base="/config/access"
        current={current}
        tabs={(Object.keys(TABS) as Tab[]).map((id) => ({ id, label: texts.access.tabs[id] }))}
      >
        {TABS[current]()}
      </Tabs>
    </Page>
  );
}
