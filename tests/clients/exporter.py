"""`pbs-exporter`: a Prometheus exporter. It is started as its package starts it, but listens on loopback only, and scraped."""

import os
import re
import socket
import subprocess
import sys
import time

import requests

from scene import ADMIN, PATIENCE

# Runs the package's program; what it would bind to all addresses is bound to one port of loopback.
PROGRAM = """
import sys
import werkzeug.serving
from importlib.metadata import distribution
run = werkzeug.serving.run_simple
def on_loopback(hostname, port, application, **options):
    run("127.0.0.1", int(sys.argv[1]), application, **options)
werkzeug.serving.run_simple = on_loopback
[program] = distribution("pbs-exporter").entry_points
program.load()()
"""

# What any dashboard needs of the recorded store.
WANTED = [
    r'pbs_task_status\{[^}]*status="OK"[^}]*create-datastore',
    r"pbs_node_memory_total\{[^}]*\} [1-9]",
    r"pbs_node_uptime\{[^}]*\} [1-9]",
    r"golden"
]


def check(scene):
    server = scene.pbs
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = dict(
        os.environ,
        PBS_BASE_URL=f"https://127.0.0.1:{server.port}",
        PBS_TOKEN=f"{ADMIN}!main:{server.secrets['main']}",
    )
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(port)]
    with open(scene.folder / "exporter.log", "w") as log:
        exporter = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        answer = scrape(port, exporter)
    finally:
        exporter.terminate()
        exporter.wait(timeout=30)
    said = (scene.folder / "exporter.log").read_text()
    assert answer is not None and answer.status_code == 200, f"the scrape failed: {answer and answer.text}\n{said}"
    assert "Traceback" not in said, said
    for pattern in WANTED:
        assert re.search(pattern, answer.text), f"nothing like {pattern} in:\n{answer.text}"
    metrics = {line.split("{")[0].split(" ")[0] for line in answer.text.splitlines() if line.startswith("pbs_")}
    print(f"pbs-exporter: {len(metrics)} metrics of ours scraped")


def scrape(port, exporter):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and exporter.poll() is None:
        try:
            return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE)
        except requests.ConnectionError:
            time.sleep(0.2)
    return None
