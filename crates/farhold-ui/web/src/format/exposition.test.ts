import { expect, test } from "vitest";
import { samplesOf } from "./exposition";

const TEXT = `# HELP farhold_datastore_snapshots Snapshots by what is known of them
# TYPE farhold_datastore_snapshots gauge
farhold_datastore_snapshots{datastore="tank",state="verified"} 22.0
farhold_datastore_snapshots{datastore="a\\"b\\\\n",state="failed"} 1e3
farhold_datastore_counted_timestamp_seconds{datastore="tank"} 1795697341.0
farhold_build_info{version="0.1.0"} 1.0
process_threads 12
farhold_datastore_broken{
`;

test("samples of a name are read with their labels", () => {
  expect(samplesOf(TEXT, "farhold_datastore_")).toEqual([
    { name: "farhold_datastore_snapshots", labels: { datastore: "tank", state: "verified" }, value: 22 },
    { name: "farhold_datastore_snapshots", labels: { datastore: 'a"b\\n', state: "failed" }, value: 1000 },
    { name: "farhold_datastore_counted_timestamp_seconds", labels: { datastore: "tank" }, value: 1795697341 },
  ]);
  expect(samplesOf(TEXT, "process_")).toEqual([{ name: "process_threads", labels: {}, value: 12 }]);
  expect(samplesOf("", "farhold")).toEqual([]);
});
