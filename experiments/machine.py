"""What measured: the kind of machine, and the versions of everything that took part."""

import lzma  # noqa: F401  part of Python, named with its version
import os
import platform
import sys
from importlib import metadata

import place
import process


def kind():
    """The processor's name as it gives it, its cores, the system."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        model = names[0] if names else model
    except OSError:
        pass
    return f"{platform.system()} {platform.machine()}, {model}, {os.cpu_count()} cores, one thread used"


def version(package):
    """The installed version of a package, or none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def provenance(packages):
    """The line under a table."""
    ours = process.run([place.QUANTSCOPE, "--version"]).strip()
    named = [f"{package} {version(package)}" for package in packages if version(package)]
    python = ".".join(str(part) for part in sys.version_info[:3])
    return f"Measured with {ours}; {', '.join(named)}; Python {python}; {kind()}."
