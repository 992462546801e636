"""Runs the experiments named on the command line, or all, and writes each into docs/benchmarks.md when it is done."""

import sys

import codec
import coders
import kmeans
import lossless
import process
import report
import runtime

EXPERIMENTS = {"kmeans": kmeans.run, "codec": codec.run, "coders": coders.run, "lossless": lossless.run, "runtime": runtime.run}


def main(names):
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        sys.exit(f"experiments: expected some of {', '.join(EXPERIMENTS)}, found {unknown[0]}")
    for name in names or EXPERIMENTS:
        report.say(f"{name}: starting")
        try:
            section = EXPERIMENTS[name]()
        except process.Failed as error:
            report.say(f"{name}: {error}")
            section = None
        if section is None:
            report.say(f"{name}: skipped, docs/benchmarks.md keeps what it says")
        else:
            report.write_section(name, section)


if __name__ == "__main__":
    main(sys.argv[1:])
