// What the form of a stored job starts from: the job, and its options beside the configuration.

import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import type { ApiFailure } from "../../api/failure";
import { useRead, type Data } from "../../api/hooks";
import { OnceInDialog } from "../../parts/once";
import type { JobKind } from "./job-save";

type StoredOptions = Data<"get", "/farhold/job-options/{type}/{id}">;

interface StoredJobProps<Answer> {
  title: string;
  type: JobKind;
  id: string;
  /** The job itself. */
  query: UseQueryResult<Answer, ApiFailure>;
  onClose: () => void;
  children: (answer: Answer, options: StoredOptions) => ReactNode;
}

/** A dialog that reads both before it can show its form. */
export function StoredJob<Answer>({ title, type, id, query, onClose, children }: StoredJobProps<Answer>) {
  const options = useRead("/farhold/job-options/{type}/{id}", { params: { path: { type, id } } });
  return (
    <OnceInDialog query={query} title={title} onClose={onClose}>
      {(answer) => (
        <OnceInDialog query={options} title={title} onClose={onClose}>
          {(stored) => children(answer, stored)}
        </OnceInDialog>
      )}
    </OnceInDialog>
  );
}
