"""NNCodec, by its C++ extension alone: quantization and CABAC of one tensor at a time, every payload decoded and compared.

NNCodec (Fraunhofer HHI; ISO/IEC 15938-17) is under the Clear BSD licence without a patent grant: a comparator here and
nothing else. The calls are those of its own `approximator/baseline.py` and `coder/baseline.py`, with the options that its
`compress_model` has by default: density 2 of quantization parameters, unary length 11, optimised context parameters. Bytes
are payloads alone, without the units, names and shapes that a bitstream needs on top, which favours it.
"""

import math

import numpy
from nncodec.extensions import deepCABAC

QP_DENSITY = 2
UNARY_LENGTH_MINUS1 = 10
NONWEIGHT_QP = -75
# Scalar quantization and trellis-coded ("dependent") quantization, with the Lagrangians that are swept for each.
LAMBDAS = {0: (0.0, 0.5, 1.0, 1.5, 2.0), 1: (0.5, 0.75, 1.0, 1.35)}
# From coarse to fine, relative to the parameter whose step is the weights' deviation, until a curve has passed FINEST_DB.
QPS = range(8, -25, -1)
FINEST_DB = 34.0
HDSP_OFF = (deepCABAC.HdspMode.AlwaysOff, numpy.zeros(0, dtype=numpy.int8))


def code(weights, qp, dependent, scale):
    """Bytes of the payload, and the weights that come out of it."""
    levels = numpy.zeros(weights.shape, numpy.int32)
    quantizer = deepCABAC.Encoder()
    quantizer.initCtxModels(UNARY_LENGTH_MINUS1, 0)
    # The parameter is clipped where levels would not fit 32 bits.
    qp = quantizer.quantLayer(weights, levels, dependent, QP_DENSITY, qp, scale, UNARY_LENGTH_MINUS1, 0, 0)

    encoder = deepCABAC.Encoder()
    encoder.iae_v(6 + QP_DENSITY, qp)
    encoder.initCtxModels(UNARY_LENGTH_MINUS1 + 1, 1)
    no_skipped_rows = numpy.zeros(weights.shape[0], numpy.int32)
    encoder.encodeLayer(levels, dependent, 0, 0, 0, 0, no_skipped_rows, *HDSP_OFF, 0, 0)
    payload = encoder.finish()

    decoder = deepCABAC.Decoder()
    decoder.setStream(payload)
    qp_read = decoder.iae_v(6 + QP_DENSITY)
    decoded = numpy.zeros(weights.shape, numpy.int32)
    decoder.initCtxModels(UNARY_LENGTH_MINUS1 + 1)
    decoder.decodeLayer(decoded, dependent, 0, 0, 0, *HDSP_OFF, 0, 0)
    if qp_read != qp or not numpy.array_equal(decoded, levels):
        raise ValueError("NNCodec: expected its payload to decode to what was encoded, found other levels")
    found = numpy.zeros(weights.shape, numpy.float32)
    deepCABAC.Decoder().dequantLayer(found, decoded, QP_DENSITY, qp, 0)
    return len(payload), found


def sweep(tensors, sqnr_db):
    """Curves: (title, [(dB, bytes)…]) for every mode and Lagrangian, in the order of the quantization parameter.

    Tensors of rank 2 and more are coded at the parameter, others at the default of their kind.
    """
    weights = {name: array for name, array in tensors.items() if array.ndim >= 2}
    beside = sum(code(array.reshape(-1), NONWEIGHT_QP, 0, 0.0)[0] for array in tensors.values() if array.ndim < 2)
    count = sum(array.size for array in weights.values())
    power = sum(float((array.astype(numpy.float64) ** 2).sum()) for array in weights.values())
    base = round(4 * math.log2(math.sqrt(power / count)))
    curves = []
    for dependent, scales in LAMBDAS.items():
        for scale in scales:
            points = []
            for qp in QPS:
                coded = {name: code(array, base + qp, dependent, scale) for name, array in weights.items()}
                decibels = sqnr_db(weights, {name: found for name, (_, found) in coded.items()})
                if math.isfinite(decibels):
                    points.append((decibels, beside + sum(size for size, _ in coded.values())))
                if decibels > FINEST_DB:
                    break
            mode = "trellis" if dependent else "scalar"
            curves.append((f"{mode}, lambda {scale:g}", points))
    return curves
