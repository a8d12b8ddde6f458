// Getting single files of a snapshot.

import { API_BASE, request } from "../../api/client";
import { inNamespace, snapshotParameters, type Snapshot } from "./model";

/** `decoded`: the content as it was backed up. `stored`: the file as it lies in the datastore. */
export type Form = "decoded" | "stored";

const PATHS: Record<Form, string> = {
  decoded: "/admin/datastore/{store}/download-decoded",
  stored: "/admin/datastore/{store}/download",
};

export interface Place {
  store: string;
  ns: string;
}

/** Returns a name under which files of different snapshots can lie beside each other. */
export function fileNameOf(snapshot: Snapshot, file: string, form: Form): string {
  const name = form === "decoded" ? file.replace(/\.(fidx|didx|blob)$/, "") : file;
  return `${snapshot.name.replaceAll("/", "-").replaceAll(":", "")}-${name}`;
}

/**
 * Has the browser save a file. The server is asked before whether it gives it, since a browser does not show the words
 * of a download that was refused.
 *
 * @throws ApiFailure in the server's words.
 */
export async function download({ store, ns }: Place, snapshot: Snapshot, file: string, form: Form): Promise<void> {
  const query = { ...inNamespace(ns), ...snapshotParameters(snapshot), "file-name": file };
  const beginning = await request("get", PATHS[form], { params: { path: { store }, query }, parseAs: "stream" });
  if (beginning instanceof ReadableStream) await beginning.cancel();
  const text = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  const link = document.createElement("a");
  link.href = `${API_BASE}${PATHS[form].replace("{store}", encodeURIComponent(store))}?${text}`;
  link.download = fileNameOf(snapshot, file, form);
  document.body.append(link);
  link.click();
  link.remove();
}
