"""Runs programs: plainly, or measured in a process of their own, several times over."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

MEASURE = Path(__file__).with_name("measure.py")
MEMORY_BYTES = 8 << 30
START_SECONDS = 60
RUNS = 5
SPENT_SECONDS = 60


class Failed(Exception):
    """A program said no; the message is its own."""


def last_line(error, status):
    """Why a program failed: its last word, or how it ended where it said none."""
    lines = error.strip().splitlines()
    return lines[-1] if lines else f"ended with status {status}"


def run(command):
    """What a program prints."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(last_line(done.stderr, done.returncode))
    return done.stdout


def measured(command, cpu_seconds=150):
    """One run: processor seconds and peak memory of the whole process, what it printed, and why it was stopped."""
    # Importing a library and compiling its kernels is allowed for on top.
    wrapped = [sys.executable, "-I", "-S", MEASURE, cpu_seconds + START_SECONDS, MEMORY_BYTES, *command]
    result = json.loads(run(wrapped))
    if result["stopped"] is None and result["status"] != 0:
        raise Failed(last_line(result["error"], result["status"]))
    return result


def repeated(once, seconds):
    """Up to five results of `once`; fewer once a minute is spent on them. `seconds` tells what a result took."""
    results = []
    spent = 0.0
    while len(results) < RUNS and spent < SPENT_SECONDS:
        results.append(once())
        spent += seconds(results[-1])
    return results


def median(values):
    return statistics.median(values)
