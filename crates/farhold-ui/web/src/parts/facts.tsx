// Names and values below each other.

import { Fragment, type ReactNode } from "react";
import styles from "./page.module.css";

/** A list of names and values; a value that is absent leaves its line out. */
export function Facts({ rows }: { rows: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className={styles.facts}>
      {rows.map(([name, value]) =>
        value === undefined || value === null || value === false ? null : (
          <Fragment key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </Fragment>
        ),
      )}
    </dl>
  );
}
