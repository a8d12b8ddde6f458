// What a form starts from: read freshly when it opens, and the same from then on, so that a later look does not change
// what its user compares with.

import type { UseQueryResult } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import type { ApiFailure } from "../api/failure";
import { Dialog } from "./dialog";
import { Loaded } from "./failure";

interface OnceProps<Value> {
  query: UseQueryResult<Value, ApiFailure>;
  /** What stands there until the value has come. */
  waiting: (state: ReactNode) => ReactNode;
  children: (value: Value) => ReactNode;
}

/** Draws its children with the first value that is no remnant of an earlier look. */
export function Once<Value>({ query, waiting, children }: OnceProps<Value>) {
  const [kept, setKept] = useState<{ value: Value }>();
  const isFresh = query.data !== undefined && !query.isFetching && (query.isFetchedAfterMount || !query.isStale);
  if (kept === undefined && isFresh && !query.error) setKept({ value: query.data as Value });
  if (kept !== undefined) return children(kept.value);
  return waiting(<Loaded query={query}>{() => null}</Loaded>);
}

/** A dialog that reads something before it can show its form. */
export function OnceInDialog<Value>({
  title,
  onClose,
  ...once
}: Omit<OnceProps<Value>, "waiting"> & { title: string; onClose: () => void }) {
  return (
    <Once
      {...once}
      waiting={(state) => (
        <Dialog title={title} onClose={onClose}>
          {state}
        </Dialog>
      )}
    />
  );
}
