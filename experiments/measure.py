"""Runs one command in a process of its own and prints what it cost, as JSON.

    python -I -S measure.py CPU_SECONDS MEMORY_BYTES COMMAND…

A program of its own and not a function, because Linux counts what the *starting* process holds as the started one's peak: this
one holds 10 MB. The command is stopped when it takes more memory than is allowed, or more processor time (whole program).
"""

import json
import resource
import signal
import subprocess
import sys

POLL_SECONDS = 0.02


def resident_bytes(pid):
    """Memory that a process holds now; 0 where it has just ended."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def main(cpu_seconds, memory_bytes, command):
    limit = lambda: resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limit)
    stopped = None
    while True:
        try:
            out, error = process.communicate(timeout=POLL_SECONDS)
            break
        except subprocess.TimeoutExpired:
            if resident_bytes(process.pid) > memory_bytes:
                stopped = "memory"
                process.kill()
    if stopped is None and process.returncode == -signal.SIGXCPU:
        stopped = "time"
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    json.dump({
        "status": process.returncode,
        "stopped": stopped,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,
        "out": out,
        "error": error[-2000:],
    }, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
