// Calls of the API for components: reading with a cache, acting with a word about what came of it.

import { notifications } from "@mantine/notifications";
import {
  useMutation,
  useQuery,
  useQueryClient,
  type UseMutationResult,
  type UseQueryResult,
} from "@tanstack/react-query";
import { texts } from "../texts";
import { request, type Answer, type Arguments, type Data, type Init, type Method, type PathOf } from "./client";
import { type ApiFailure, wordsOf } from "./failure";

export interface ReadOptions {
  /** Seconds between two looks; never if absent. Nothing is asked while the page is hidden. */
  every?: number;
  /** Whether this answer, the whole of it, is the last that is of interest. */
  until?: (answer: unknown) => boolean;
  /** Whether to ask at all. */
  enabled?: boolean;
  /** Whether an older answer is shown while one with other parameters is on its way. */
  keepOld?: boolean;
}

/** Reads the whole answer of a GET call, beside `data` for instance `total` or `digest`. */
export function useAnswer<P extends PathOf<"get">>(
  path: P,
  init?: Init<"get", P>,
  options: ReadOptions = {},
): UseQueryResult<Answer<"get", P>, ApiFailure> {
  return useGet(path, init, options) as UseQueryResult<Answer<"get", P>, ApiFailure>;
}

/** Reads the value of a GET call. */
export function useRead<P extends PathOf<"get">>(
  path: P,
  init?: Init<"get", P>,
  options: ReadOptions = {},
): UseQueryResult<Data<"get", P>, ApiFailure> {
  return useGet(path, init, options, valueOf) as UseQueryResult<Data<"get", P>, ApiFailure>;
}

const valueOf = (answer: unknown): unknown => (answer as { data: unknown }).data;

function useGet(path: string, init: object | undefined, options: ReadOptions, select?: (answer: unknown) => unknown) {
  return useQuery<unknown, ApiFailure>({
    queryKey: init === undefined ? [path] : [path, init],
    queryFn: ({ signal }) => request("get", path, { ...init, signal }),
    enabled: options.enabled ?? true,
    ...(select ? { select } : {}),
    ...(options.every === undefined
      ? {}
      : { refetchInterval: ({ state }) => !isLast(options, state.data) && interval(options.every, state.error) }),
    ...(options.keepOld ? { placeholderData: (before: unknown) => before } : {}),
  });
}

function isLast({ until }: ReadOptions, answer: unknown): boolean {
  return until !== undefined && answer !== undefined && until(answer);
}

/** A call that was refused is not made again and again: privileges seldom change. */
function interval(every: number | undefined, error: ApiFailure | null): number | false {
  return every === undefined || error?.status === 403 ? false : every * 1000;
}

export interface ActOptions<Result> {
  /** Paths whose answers are out of date then. */
  refresh?: readonly PathOf<"get">[];
  /** What is said when it went well; nothing if absent. */
  done?: string | ((result: Result) => string);
  /** Whether the caller shows the failure itself, for instance in a form. */
  quiet?: boolean;
  onDone?: (result: Result) => void;
}

/** Does something, then has what changed by it read again. A failure is shown in the server's words. */
export function useAct<Input, Result>(
  act: (input: Input) => Promise<Result>,
  options: ActOptions<Result> = {},
): UseMutationResult<Result, ApiFailure, Input> {
  const queries = useQueryClient();
  return useMutation<Result, ApiFailure, Input>({
    mutationFn: act,
    // Passwords and keys that were sent or came back go with the component.
    gcTime: 0,
    onSuccess: async (result) => {
      await Promise.all((options.refresh ?? []).map((path) => queries.invalidateQueries({ queryKey: [path] })));
      const { done } = options;
      if (done) notifications.show({ color: "teal", message: typeof done === "string" ? done : done(result) });
      options.onDone?.(result);
    },
    onError: (error) => {
      if (!options.quiet) notifications.show({ color: "red", title: texts.common.failed, message: wordsOf(error) });
    },
  });
}

export type { Answer, Arguments, Data, Init, Method, PathOf };
