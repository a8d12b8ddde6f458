"""Runs clients that others wrote against servers of this tree. Usage: main.py PROGRAM"""

import sys
import tempfile

import exporter
import forms
import fuzzed
import metrics
import typed
from scene import Scene


def main(program):
    with tempfile.TemporaryDirectory(prefix="farhold-clients-") as folder:
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
