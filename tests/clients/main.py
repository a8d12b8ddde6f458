"""Runs clients that others wrote against servers of this tree. Usage: main.py PROGRAM"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import exporter
import forms
import fuzzed
import metrics
import typed
from scene import Scene


# The servers' folders need about 1 GiB.
MEMORY_BYTES = 2 << 30


def place():
    """Returns where the servers' folders go: in memory where there is room, since each datastore has 65,536 folders, and
    removing those takes a busy disk longer than all the rest. TMPDIR decides if it is set."""
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and shutil.disk_usage(memory).free >= MEMORY_BYTES
    return memory if has_room and "TMPDIR" not in os.environ else None


def main(program):
    with tempfile.TemporaryDirectory(prefix="farhold-clients-", dir=place()) as folder:
        scene = Scene(program, folder)
        try:
            typed.check_cycles(scene)
            forms.check(scene)
            exporter.check(scene)
            metrics.check(scene)
            typed.check_baseline(scene)
            fuzzed.check(scene)
        finally:
            scene.stop()


main(sys.argv[1])
