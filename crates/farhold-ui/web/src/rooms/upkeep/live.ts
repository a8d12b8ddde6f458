// Looking often while something runs, and calmly otherwise.

import type { UseQueryResult } from "@tanstack/react-query";
import { useState } from "react";
import type { ApiFailure } from "../../api/failure";
import { CALM_SECONDS, LIVE_SECONDS } from "../../api/server";

/** Reads with `read(every)`, which is told how often to look; `isLive` says whether something runs. */
export function useLive<Value>(
  read: (every: number) => UseQueryResult<Value, ApiFailure>,
  isLive: (value: Value) => boolean,
): UseQueryResult<Value, ApiFailure> {
  const [isBusy, setBusy] = useState(false);
  const query = read(isBusy ? LIVE_SECONDS : CALM_SECONDS);
  const isBusyNow = query.data !== undefined && isLive(query.data);
  if (isBusyNow !== isBusy) setBusy(isBusyNow);
  return query;
}
