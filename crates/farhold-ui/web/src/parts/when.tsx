// A point in time, as a distance from now that stays true while it is looked at.

import { useEffect, useState } from "react";
import { dateTime, distance, nowSeconds } from "../format/time";

/** Seconds after which distances are written anew. */
const TICK_SECONDS = 15;

/** Returns the present in seconds since 1970-01-01 UTC, anew every few seconds. */
export function useNow(every: number = TICK_SECONDS): number {
  const [now, setNow] = useState(nowSeconds);
  useEffect(() => {
    const timer = setInterval(() => setNow(nowSeconds()), every * 1000);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

interface WhenProps {
  /** Seconds since 1970-01-01 UTC. */
  at: number | null | undefined;
  /** Whether the point itself is written instead of the distance. */
  isExact?: boolean;
  /** What is written if there is no such point. */
  otherwise?: string;
}

/** A point in time; pointing at it shows the other way to write it. */
export function When({ at, isExact = false, otherwise = "–" }: WhenProps) {
  const now = useNow();
  if (at === null || at === undefined) return otherwise;
  const [exact, relative] = [dateTime(at), distance(at, now)];
  return (
    <time
      dateTime={new Date(at * 1000).toISOString()}
      title={isExact ? relative : exact}
      style={{ whiteSpace: "nowrap" }}
    >
      {isExact ? exact : relative}
    </time>
  );
}
