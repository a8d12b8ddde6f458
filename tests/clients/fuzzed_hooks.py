"""Puts names that exist into made-up calls: calls that name nothing that exists only see the first check of a handler."""

import json
import os
import random
import threading
from urllib.parse import unquote

import schemathesis

# The program learns names from answers. What the calls themselves need is left to others under these names.
PROTECTED = {
    "admin@pbs": "victim@pbs",
    "admin@pbs!main": "victim@pbs!main",
    "root@pam": "victim@pbs",
    "golden": "victim",
    "offsite": "victim",
}
KNOWN = json.loads(os.environ["FARHOLD_KNOWN"])
CHANCE = random.Random(1)
LOCK = threading.Lock()


def goes_for_known(case):
    """Only calls that cannot take away what the others need."""
    return case.method == "GET" or (case.method != "DELETE" and case.path.startswith("/admin/datastore"))


def with_known(part, snapshot):
    """Returns the parameters with values that exist; the given ones may belong to other cases too."""
    if not isinstance(part, dict):
        return part
    made = dict(part)
    for name in part:
        if name in KNOWN["values"]:
            made[name] = CHANCE.choice(KNOWN["values"][name])
        elif name in snapshot:
            made[name] = snapshot[name]
    return made


def without_protected(part):
    """Returns the parameters without what must stay as it is."""
    if not isinstance(part, dict):
        return part
    return {
        # Values of the path are percent-encoded already.
        name: PROTECTED.get(unquote(value), value) if isinstance(value, str) else value
        for name, value in part.items()
    }


@schemathesis.hook
def before_call(context, case, kwargs):
    with LOCK:
        if case.method == "POST" and case.path == "/config/datastore" and isinstance(case.body, dict):
            if isinstance(case.body.get("path"), str):
                # A directory of our own, wherever the made-up one was.
                case.body = {**case.body, "path": f"{KNOWN['folder']}/{CHANCE.getrandbits(32):08x}"}
        if not goes_for_known(case):
            case.path_parameters = without_protected(case.path_parameters)
            case.query = without_protected(case.query)
            case.body = without_protected(case.body)
            return
        if CHANCE.random() < 0.3:
            return
        snapshot = CHANCE.choice(KNOWN["snapshots"])
        snapshot = {name: snapshot[name] for name in ("backup-type", "backup-id", "backup-time")}
        case.path_parameters = with_known(case.path_parameters, snapshot)
        case.query = with_known(case.query, snapshot)
        case.body = with_known(case.body, snapshot)
