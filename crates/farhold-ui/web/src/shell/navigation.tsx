// Where one can go: in the order in which administrators of Proxmox Backup Server expect it.

import { Link, useLocation } from "react-router";
import { useDatastores } from "../api/server";
import { texts } from "../texts";
import styles from "./shell.module.css";

const CONFIGURATION = [
  { to: "/config/remotes", label: texts.shell.remotes },
  { to: "/config/access", label: texts.shell.access },
  { to: "/config/keys", label: texts.shell.keys },
  { to: "/config/traffic", label: texts.shell.traffic },
  { to: "/config/notifications", label: texts.shell.notifications },
  { to: "/config/certificate", label: texts.shell.certificate },
];

export function Navigation() {
  const datastores = useDatastores();
  const names = (datastores.data ?? []).map((entry) => entry.store).sort();
  return (
    <>
      <Entry to="/" label={texts.shell.dashboard} isExact />
      <Entry to="/jobs" label={texts.shell.jobs} />
      <Entry to="/tasks" label={texts.shell.tasks} />
      <Section label={texts.shell.configuration} entries={CONFIGURATION} />
      <Section
        label={texts.shell.datastores}
        entries={[
          ...names.map((name) => ({ to: `/datastore/${name}`, label: name })),
          { to: "/datastores", label: texts.shell.addDatastore },
        ]}
      />
    </>
  );
}

function Section({ label, entries }: { label: string; entries: readonly { to: string; label: string }[] }) {
  return (
    <section aria-label={label}>
      <div className={styles.sectionTitle}>{label}</div>
      {entries.map((entry) => (
        <Entry key={entry.to} {...entry} />
      ))}
    </section>
  );
}

function Entry({ to, label, isExact = false }: { to: string; label: string; isExact?: boolean }) {
  const { pathname } = useLocation();
  const isHere = isExact ? pathname === to : pathname === to || pathname.startsWith(`${to}/`);
  return (
    <Link to={to} className={styles.entry} {...(isHere ? { "aria-current": "page" as const } : {})}>
      {label}
    </Link>
  );
}
