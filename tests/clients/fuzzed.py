"""`schemathesis`: calls made up from our own OpenAPI document, well-formed and not, against the server under test.

No call may end in a 5xx, a status, a content type or a member that the document does not declare. Goes last: whatever is
made up may also be done."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from scene import ADMIN

HERE = Path(__file__).resolve().parent
# Parts of the tree that are tried at the same time; each endpoint is in one of them.
PARTS = [
    r"^/(access|nodes)(/|$)",
    r"^/config/(notifications|metrics|access)(/|$)",
    r"^/config(?!/(notifications|metrics|access)(/|$))",
    r"^/(?!(access|nodes|config)(/|$))",
]
# The whole run must stay below this, in seconds.
LIMIT = 235
# Cases that are made up for each call, besides those that cover the limits of each parameter.
CASES = 5

# What is left out: connections that change their protocol, failed logins (3 seconds each), and what would act on the
# machine if it worked.
LEFT_OUT = ["/backup", "/reader", "/access/ticket", "/access/vncticket", "/access/password"]
MACHINE = "^POST /nodes/{node}/status$|^(POST|PUT) /nodes/{node}/disks/|^(PUT|POST|DELETE) /nodes/{node}/certificates/"

# Credentials are given, not made up. A remote that cannot be reached is a 500 on purpose.
CONFIG = """
[generation]
with-security-parameters = false

[checks]
enabled = false
not_a_server_error.enabled = true
status_code_conformance.enabled = true
content_type_conformance.enabled = true
response_schema_conformance.enabled = true

[[operations]]
include-path-regex = "/scan"
checks.not_a_server_error.enabled = false
"""


def known(scene):
    """Returns values that exist on the server, by the name of the parameter."""
    snapshots = scene.pbs.get("/admin/datastore/golden/snapshots")
    namespaces = [item["ns"] for item in scene.pbs.get("/admin/datastore/golden/namespace")]
    tasks = [task["upid"] for task in scene.pbs.get("/nodes/localhost/tasks", limit=5)]
    return {
        "snapshots": snapshots,
        "values": {
            "store": ["golden"],
            "name": ["golden", "offsite"],
            "id": ["pull-job"],
            "ns": namespaces,
            "parent": namespaces,
            "userid": [ADMIN, "root@pam"],
            "token-name": ["main"],
            "upid": tasks,
            "node": ["localhost"],
        },
        "folder": str(scene.folder / "fuzzed"),
    }


def check(scene):
    """Runs one process for each part of the tree: the program is not safe to run in several threads of one process."""
    server = scene.pbs
    folder = scene.folder / "fuzzed"
    folder.mkdir()
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    environment = dict(
        os.environ,
        SCHEMATHESIS_HOOKS="fuzzed_hooks",
        PYTHONPATH=str(HERE),
        PYTHONDONTWRITEBYTECODE="1",
        FARHOLD_KNOWN=json.dumps(known(scene)),
    )
    started = []

    def start(name, part):
        own = folder / name
        own.mkdir()
        output = (own / "output").open("w+")
        command = arguments(server, config, part)
        return subprocess.Popen(command, cwd=own, env=environment, stdout=output, stderr=output), output

    for number, part in enumerate(PARTS):
        started.append(start(str(number), part))
    deadline = time.monotonic() + LIMIT
    count = 0
    try:
        for number, part in enumerate(PARTS):
            process, output = started[number]
            code = process.wait(timeout=max(1, deadline - time.monotonic()))
            output.seek(0)
            text = output.read()
            if code != 0 and "Network Error" in text:
                # One connection of some ten thousand was cut during its handshake; once is told and tried again.
                print(f"schemathesis: {part} had a network error, once more")
                started[number] = process, output = start(f"{number}-again", part)
                code = process.wait(timeout=max(1, deadline - time.monotonic()))
                output.seek(0)
                text = output.read()
            cases = re.search(r"(\d+) generated", text)
            assert code == 0 and cases, text[-8000:]
            count += int(cases[1])
    finally:
        for process, output in started:
            process.kill()
            process.wait()
            output.close()
    # What was made up must not have shut the caller out, or nothing was tried after that.
    server.get("/version")
    print(f"schemathesis: {count} calls as the document says")


def arguments(server, config, part):
    base = f"https://127.0.0.1:{server.port}/api2/json"
    command = [
        str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(config), "run",
        f"{base}/farhold/openapi", "--url", base, "--tls-verify", "false",
        "--header", f"Authorization: PBSAPIToken={ADMIN}!main:{server.secrets['main']}",
        "--phases", "coverage,fuzzing", "--max-examples", str(CASES), "--seed", "1", "--workers", "1",
        "--request-timeout", "60", "--no-shrink", "--continue-on-failure", "--warnings", "off",
        "--include-path-regex", part, "--exclude-name-regex", MACHINE,
    ]
    for path in LEFT_OUT:
        command += ["--exclude-path", path]
    return command
