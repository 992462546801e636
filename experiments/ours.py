"""Our command lines, all in one place: what is compared with the peers."""

from dataclasses import dataclass

import place
import process


@dataclass(frozen=True)
class Setting:
    """One curve of ours: flags, and the parameter that moves along it."""

    title: str
    method: str
    flags: tuple
    swept: str = "step"

    def at(self, value):
        return [*self.flags, "--method", self.method, f"--{self.swept}", f"{value:.6g}"]


# Every tensor, with a step in common: what the peer does.
EVERYTHING = ("--scope", "all", "--include", "*")
# The curves that `codec` takes the best of, decibel by decibel. A method that the program does not have is skipped.
CODEC = [
    Setting("uniform", "uniform", ("--scope", "all", "--coder", "context")),
    Setting("rdo", "rdo", EVERYTHING),
    # λ is swept as NNCodec's is.
    Setting("trellis", "trellis", EVERYTHING),
    Setting("trellis, λ 1.3", "trellis", (*EVERYTHING, "--lambda", "1.3")),
    Setting("trellis, λ 2", "trellis", (*EVERYTHING, "--lambda", "2")),
]
# Steps in standard deviations of the weights, a quarter of an octave apart as NNCodec's are.
CODEC_STEPS = [0.02 * 2 ** (i / 4) for i in range(35)]

CODERS = ["fixed", "huffman", "rans", "context"]
KEEP = ["--exclude", "*"]
ALONE = ["--quiet", "--jobs", "1"]


def methods():
    """Ids of the methods that the program has."""
    import json

    return json.loads(process.run([place.QUANTSCOPE, "methods", "--json"]))


def compress(source, target, flags):
    """The command that compresses without the check that follows, on one thread."""
    return [place.QUANTSCOPE, "compress", source, "-o", target, *flags, "--no-verify", *ALONE]


def decode(source, target):
    """The command that decodes on one thread."""
    return [place.QUANTSCOPE, "decode", source, "-o", target, *ALONE]


def kmeans(k, importance, certified):
    """Flags of exact k-means."""
    flags = ["--method", "kmeans", "--k", str(k), *EVERYTHING, "--coder", "rans"]
    flags += ["--importance-file", importance] if importance else []
    return flags + (["--precision", "certified"] if certified else [])
