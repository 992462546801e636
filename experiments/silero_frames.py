"""Makes 600 windows of a made-up voice with the states that silero's voice detector has before each, as FRAMES.npz.

python experiments/silero_frames.py silero_vad_16k_op15.onnx FRAMES.npz     (numpy and onnxruntime of samples/requirements.txt)

The voice is a sawtooth of a changing pitch through three formants that glide from vowel to vowel, in syllables with pauses. Windows
are 512 samples behind the 64 before them, as silero takes them. It prints how the probabilities lie in tenths.
"""

import sys

import numpy as np
import onnxruntime

network, out = sys.argv[1:]
rate, window, count = 16000, 512, 600
random = np.random.default_rng(7)
length = window * count
time = np.arange(length) / rate
pitch = 130 * (1 + 0.15 * np.sin(2 * np.pi * 0.35 * time) + 0.02 * np.sin(2 * np.pi * 5.1 * time))
phase = np.cumsum(pitch) / rate
source = np.diff((phase % 1) ** 2, prepend=0) + 0.02 * random.standard_normal(length)
vowels = np.array([[730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240], [530, 1840, 2480], [570, 840, 2410]])
which = (time * 3.3).astype(int) * 7 % 5


def formant(x, frequency, width):
    y = np.zeros(len(x) + 2)
    r = np.exp(-np.pi * width / rate)
    a, b = 2 * r * np.cos(2 * np.pi * frequency / rate), -r * r
    for i in range(len(x)):
        y[i + 2] = x[i] + a[i] * y[i + 1] + b * y[i]
    return y[2:]


voice = source
for at, width in enumerate((80, 100, 140)):
    glide = np.convolve(vowels[which, at], np.ones(640) / 640, "same")
    voice = formant(voice, glide, width)
voice /= np.abs(voice).max()
syllables = np.clip(np.sin(2 * np.pi * 3.3 * time), 0, 1) ** 0.3 * (np.sin(2 * np.pi * 0.3 * time) > -0.3)
sound = (0.9 * voice * syllables + 0.003 * random.standard_normal(length)).astype(np.float32)
padded = np.concatenate([np.zeros(64, np.float32), sound])
inputs, states, probabilities = [], [], []
state = np.zeros((2, 1, 128), np.float32)
session = onnxruntime.InferenceSession(network)
for at in range(count):
    x = padded[None, at * window : at * window + window + 64]
    inputs.append(x)
    states.append(state)
    o, state = session.run(None, {"input": x, "state": state, "sr": np.array(rate, np.int64)})
    probabilities.append(o.item())
print(np.histogram(probabilities, 10, (0, 1))[0])
np.savez(out, input=np.concatenate(inputs), state=np.concatenate(states, axis=1), sr=np.array(rate, np.int64))
