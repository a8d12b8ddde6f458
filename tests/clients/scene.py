"""Two servers on loopback for clients that others wrote: the one under test and the one it syncs with.

Everything lies below one folder that goes away at the end. Servers are started with the program's own commands, as an
administrator would; accounts, stores and content come from there and from the recorded store."""

import io
import json
import re
import subprocess
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import requests
import urllib3
import zstandard

urllib3.disable_warnings()

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
# How long a server may take to say that it listens, and a task to end, in seconds.
PATIENCE = 60

ADMIN = "admin@pbs"
PASSWORD = "correct-horse-9"


@dataclass
class Server:
    """A running server and how its own command line reaches it."""

    program: str
    root: Path
    process: subprocess.Popen = None
    port: int = 0
    fingerprint: str = ""
    secrets: dict = field(default_factory=dict)

    @staticmethod
    def start(program, root):
        root.mkdir(parents=True)
        server = Server(program, root)
        log = open(root / "server.log", "w")
        command = [program, "--root", str(root), "server", "--listen", "127.0.0.1:0"]
        server.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            text = (root / "server.log").read_text()
            port = re.search(r"listening on 127\.0\.0\.1:(\d+)", text)
            fingerprint = re.search(r"fingerprint \(sha256\): ([0-9a-f:]{95})", text)
            if port and fingerprint:
                server.port, server.fingerprint = int(port[1]), fingerprint[1]
                return server
            if server.process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"the server did not start:\n{(root / 'server.log').read_text()}")

    def run(self, *arguments):
        """Runs an administrator's command and returns what it prints."""
        done = subprocess.run([self.program, "--root", str(self.root), *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(arguments)} failed: {done.stderr}{done.stdout}")
        return done.stdout

    def token(self, name):
        """Makes an API token of the administrator with its user's rights; returns its secret."""
        result = self.run("user", "generate-token", ADMIN, name)
        secret = json.loads(result.removeprefix("Result:"))["value"]
        self.run("acl", "update", "/", "Admin", "--auth-id", f"{ADMIN}!{name}")
        self.secrets[name] = secret
        return secret

    def get(self, path, **parameters):
        """Calls the API with the administrator's token, without any client in between."""
        headers = {"Authorization": f"PBSAPIToken={ADMIN}!main:{self.secrets['main']}"}
        answer = requests.get(
            f"https://127.0.0.1:{self.port}/api2/json{path}", params=parameters, headers=headers, verify=False, timeout=30
        )
        answer.raise_for_status()
        return answer.json()["data"]

    def wait(self, upid):
        """Waits for a task and returns its result."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            status = self.get(f"/nodes/localhost/tasks/{upid}/status")
            if status["status"] == "stopped":
                return status["exitstatus"]
            time.sleep(0.2)
        raise AssertionError(f"{upid} did not end")

    def errors(self):
        """Returns the lines of the server's log that tell of a fault of the program."""
        lines = (self.root / "server.log").read_text().splitlines()
        return [line for line in lines if "panicked" in line or " ERROR " in line or "not as declared" in line]

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)


def unpack_store(folder, name):
    """Unpacks a recorded store; the archive lacks the empty folders for chunks."""
    with tarfile.open(fileobj=unpacked(GOLDEN / f"{name}.tar.zst")) as archive:
        archive.extractall(folder)
    store = folder / name
    chunks = store / ".chunks"
    chunks.mkdir(exist_ok=True)
    for folder in [chunks, *(chunks / f"{number:04x}" for number in range(65536))]:
        folder.mkdir(exist_ok=True)
        folder.chmod(0o750)
    (store / ".lock").touch()
    return store


def unpacked(path):
    """Returns the decompressed content of a file as something to read from."""
    content = zstandard.ZstdDecompressor().stream_reader(path.open("rb")).read()
    return io.BytesIO(content)


class Scene:
    """The server under test, `pbs`, with the recorded store and one of everything; and its remote, `other`."""

    def __init__(self, program, folder):
        folder = Path(folder)
        self.folder = folder
        self.servers = []
        try:
            self.build(program, folder)
        except BaseException:
            self.end()
            raise

    def build(self, program, folder):
        self.servers.append(Server.start(program, folder / "pbs"))
        self.servers.append(Server.start(program, folder / "other"))
        self.pbs, self.other = self.servers
        for server in (self.pbs, self.other):
            server.run("user", "create", ADMIN, "--password", PASSWORD)
            server.run("acl", "update", "/", "Admin", "--auth-id", ADMIN)
            server.token("main")
        stores = folder / "stores"
        stores.mkdir()
        golden = unpack_store(stores, "golden")
        self.pbs.run("datastore", "create", "golden", str(golden), "--reuse-datastore", "true")
        self.other.run("datastore", "create", "vault", str(stores / "vault"))
        self.pbs.run(
            "remote", "create", "offsite", "--host", "127.0.0.1", "--port", str(self.other.port), "--auth-id",
            f"{ADMIN}!main", "--password", self.other.secrets["main"], "--fingerprint", self.other.fingerprint,
        )
        self.pbs.run(
            "sync-job", "create", "pull-job", "--store", "golden", "--remote", "offsite", "--remote-store", "vault",
            "--ns", "copies", "--schedule", "daily",
        )

    def end(self):
        for server in self.servers:
            server.stop()

    def stop(self):
        """Ends both servers; their logs must tell of no fault."""
        self.end()
        for server in self.servers:
            faults = server.errors()
            assert not faults, "the server's log tells of faults:\n" + "\n".join(faults)
