"""Weights of the data folder as arrays. Quantscope reads the files: nothing is unpickled here."""

import json

import numpy

import ours
import place
import process

# Name for people, path in the data folder.
FILES = [
    ("LeNet", "lenet/lenet.safetensors"),
    ("LeNet, pruned", "lenet/lenet_pruned.safetensors"),
    ("ResNet-32", "resnet32/resnet32-d509ac18.th"),
    ("silero", "silero/silero_vad_16k.safetensors"),
    ("stories260K", "stories260K/stories260K_tied_zip.pt"),
]


def present():
    """The files that are there, with a line for each that is not."""
    import report

    for name, path in FILES:
        if (place.DATA / path).exists():
            yield name, place.DATA / path
        else:
            report.say(f"{name}: no {path} in {place.DATA}, skipped")


def arrays(archive):
    """The distinct arrays of an .npz by name: tensors that share storage count once, as both codecs store them once."""
    seen = set()
    found = {}
    with numpy.load(archive, allow_pickle=False) as file:
        for name in file.files:
            array = numpy.ascontiguousarray(file[name])
            key = (array.shape, array.tobytes())
            if key not in seen:
                seen.add(key)
                found[name] = array
    return found


def tensors(path):
    """The tensors of a weight file, by way of a container that keeps them all as they are."""
    kept, archive = place.WORK / "kept.qsz", place.WORK / "kept.npz"
    process.run(ours.compress(path, kept, ours.KEEP))
    process.run(ours.decode(kept, archive))
    return arrays(archive)


def write_safetensors(path, named):
    """Writes float32 arrays as safetensors: the length of the header, the header as JSON, the elements."""
    header, offset = {}, 0
    for name, array in named.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in named.values():
            file.write(array.astype("<f4").tobytes())
