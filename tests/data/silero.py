"""Makes silero_frames.npz and silero_outputs.npz: frames by a formula in integers, and ONNX Runtime's answers to them.

python tests/data/silero.py MODEL.onnx     (numpy and onnxruntime of samples/requirements.txt)
"""

import pathlib
import sys

import numpy as np
import onnxruntime

FRAMES = 16
here = pathlib.Path(__file__).parent

frame = np.arange(FRAMES)[:, None]
sample = np.arange(512)[None, :]
# A rising triangle wave with a rough edge, louder from frame to frame.
wave = np.abs((sample * (frame + 3)) % 128 - 64) - 32 + (frame * 7919 + sample * 104729) % 13 - 6
sound = (wave * (frame + 1)).astype(np.float32) / np.float32(256)
layer, cell = np.arange(2)[:, None, None], np.arange(128)[None, None, :]
state = (((frame[None] * 131 + cell * 17 + layer * 71) % 201 - 100) / 32).astype(np.float32)
inputs = {"input": sound, "state": state, "sr": np.array(16000, dtype=np.int64)}
session = onnxruntime.InferenceSession(sys.argv[1])
outputs = session.run(["output"], inputs)[0]
np.savez_compressed(here / "silero_frames.npz", **inputs)
np.savez(here / "silero_outputs.npz", float=outputs)
print(outputs.ravel())
