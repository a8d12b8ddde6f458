// The task that is open over the page stands in the address, so that it can be linked to, and "back" closes it.

import { useCallback } from "react";
import { useSearchParams } from "react-router";

const PARAMETER = "task";

/** Returns the UPID of the task that is to be shown, and how to open and close one. */
export function useTaskView(): { upid: string | null; open: (upid: string) => void; close: () => void } {
  const [search, setSearch] = useSearchParams();
  const open = useCallback(
    (upid: string) =>
      setSearch((before) => {
        const next = new URLSearchParams(before);
        next.set(PARAMETER, upid);
        return next;
      }),
    [setSearch],
  );
  const close = useCallback(
    () =>
      setSearch((before) => {
        const next = new URLSearchParams(before);
        next.delete(PARAMETER);
        return next;
      }),
    [setSearch],
  );
  return { upid: search.get(PARAMETER), open, close };
}
