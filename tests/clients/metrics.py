"""The metrics page, read by the parser of Prometheus' own Python library, with credentials as Prometheus sends them."""

import requests
from prometheus_client.parser import text_string_to_metric_families

from scene import ADMIN, PATIENCE

WANTED = ["farhold_build_info", "farhold_job_info", "farhold_datastore_mounted", "process_open_fds"]


def check(scene):
    server = scene.pbs
    # Prometheus puts the word of `authorization.type` and the credentials behind each other, with a blank.
    credentials = f"PBSAPIToken {ADMIN}!main:{server.secrets['main']}"
    url = f"https://127.0.0.1:{server.port}/metrics"
    answer = requests.get(url, headers={"Authorization": credentials}, verify=False, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    for name in WANTED:
        assert families[name].samples, f"{name} has no sample in:\n{answer.text}"
    assert all(family.documentation and family.type in ("gauge", "counter") for family in families.values())
    refused = requests.get(url, verify=False, timeout=PATIENCE)
    assert refused.status_code == 401 and "farhold_" not in refused.text
    health = requests.get(f"https://127.0.0.1:{server.port}/health", verify=False, timeout=PATIENCE)
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    print(f"prometheus_client: {len(families)} metrics read")
