// Reads a task's log piece by piece, and goes on as long as the task runs.

import { useCallback, useEffect, useState } from "react";
import { call } from "../../api/client";
import { ApiFailure } from "../../api/failure";
import { NODE } from "../../api/server";
import { firstLine, joined, PIECE, type LogLine } from "./log-lines";

/** Pause before a task that runs is asked for new lines, and before a server that does not answer is asked again. */
const PAUSE_MS = 1000;

export interface TaskLog {
  lines: readonly LogLine[];
  isActive: boolean;
  /** Lines before those that are shown. */
  earlier: number;
  loadEarlier: () => void;
  error?: ApiFailure;
}

/** Reads lines behind the first `after` ones. */
function piece(upid: string, after: number, limit: number, signal: AbortSignal) {
  return call("get", "/nodes/{node}/tasks/{upid}/log", {
    params: { path: { node: NODE, upid }, query: { start: after + 1, limit, "test-status": true } },
    signal,
  });
}

/** Returns the log of a task as far as it is known. */
export function useLog(upid: string): TaskLog {
  const [lines, setLines] = useState<readonly LogLine[]>([]);
  const [isWhole, setWhole] = useState(false);
  const [isActive, setActive] = useState(true);
  const [error, setError] = useState<ApiFailure>();
  const loadEarlier = useCallback(() => setWhole(true), []);

  useEffect(() => {
    const stop = new AbortController();
    const follow = async () => {
      let at = isWhole ? 0 : firstLine((await piece(upid, 0, 1, stop.signal)).total);
      let known: readonly LogLine[] = [];
      while (!stop.signal.aborted) {
        const answer = await piece(upid, at, PIECE, stop.signal);
        setError(undefined);
        known = joined(known, answer.data);
        at = known.at(-1)?.n ?? at;
        setLines(known);
        setActive(answer.active ?? false);
        if (at < answer.total) continue;
        if (!answer.active) return;
        await pause(stop.signal);
      }
    };
    const run = async () => {
      while (!stop.signal.aborted) {
        try {
          return await follow();
        } catch (failure) {
          if (stop.signal.aborted) return;
          setError(failure instanceof ApiFailure ? failure : new ApiFailure(0, String(failure)));
          // What the server refuses, it refuses; one that is away may come back, with the log as it was.
          if (failure instanceof ApiFailure && failure.status !== 0 && failure.status < 500 && failure.status !== 401) {
            setActive(false);
            return;
          }
          await pause(stop.signal);
        }
      }
    };
    void run();
    return () => stop.abort();
  }, [upid, isWhole]);

  return { lines, isActive, earlier: (lines[0]?.n ?? 1) - 1, loadEarlier, ...(error ? { error } : {}) };
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, PAUSE_MS);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
