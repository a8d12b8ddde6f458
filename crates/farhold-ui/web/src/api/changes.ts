// What an update call has to say: changed values, and the names of those that are to be deleted.

type Value = unknown;

const isEmpty = (value: Value): boolean =>
  value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0);

/**
 * Compares a form's values with what is stored. Emptied values stand in `delete`, the rest in the body if they differ.
 * A `false` that stands for an absent value is no change.
 */
export function changesOf<Values extends object>(
  stored: Partial<Values>,
  values: Values,
): Partial<Values> & { delete?: (keyof Values & string)[] } {
  const body: Partial<Values> & { delete?: (keyof Values & string)[] } = {};
  const gone: (keyof Values & string)[] = [];
  for (const name of Object.keys(values) as (keyof Values & string)[]) {
    const [before, after] = [stored[name], values[name]];
    if (isEmpty(after)) {
      if (!isEmpty(before)) gone.push(name);
    } else if (JSON.stringify(before) !== JSON.stringify(after) && !(after === false && before === undefined)) {
      body[name] = after;
    }
  }
  if (gone.length > 0) body.delete = gone;
  return body;
}

/** Returns the values without those that are empty, for a call that creates something. */
export function withoutEmpty<Values extends object>(values: Values): Partial<Values> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => !isEmpty(value))) as Partial<Values>;
}
