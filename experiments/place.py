"""Where things are: the checkout, the data, the built programs, and a folder for what is made on the way."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("QUANTSCOPE_DATA") or ROOT / ".." / "shared" / "data")
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
WORK = TARGET / "experiments"
QUANTSCOPE = TARGET / "release" / "quantscope"
KMEANS_BENCH = TARGET / "release" / "examples" / "kmeans_bench"
CODERS_BENCH = TARGET / "release" / "examples" / "coders_bench"
BENCHMARKS = ROOT / "docs" / "benchmarks.md"
FIGURES = ROOT / "docs" / "figures"

WORK.mkdir(parents=True, exist_ok=True)
