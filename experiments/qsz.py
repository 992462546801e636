"""A second decoder of .qsz files, written from docs/format.md: plain Python, no part of Quantscope.

    python3 experiments/qsz.py decode FILE.qsz ELEMENTS   the little-endian elements of all tensors, one after the other
    python3 experiments/qsz.py restore FILE.qsz OUTPUT    the files that it gives back, one after the other
    python3 experiments/qsz.py check FOLDER               every FOLDER/*.qsz against the .elements and .file beside it
    python3 experiments/qsz.py vectors                    the test vectors of docs/format.md

What this decoder and the document disagree on is a mistake in one of them. `qsz_coders.py` and `qsz_planes.py` are its coders.
"""

import collections
import math
import multiprocessing
import re
import struct
import sys
import time
import zlib
from pathlib import Path

import qsz_planes
from qsz_coders import CODERS, NO_ROWS, Bits, Damaged, Gaps, Rows, expect

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "format.md"
MAGIC, VERSION, END = b"\x89QSZ\r\n\x1a\n", 2, b"QSZ\x04"
BLOCK = 1 << 20
FLT_MAX = 3.4028234663852886e38
DTYPES = ["F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL",
          "C64", "C128", "F8_E8M0"]
SIZES = dict(zip(DTYPES, [8, 4, 2, 2, 1, 1, 8, 4, 2, 1, 8, 4, 2, 1, 1, 8, 16, 1]))
# Explicit bits of exponent and mantissa of what levels are rounded to, and the largest number.
ROUNDED = {"F16": (5, 10, 65504.0), "BF16": (8, 7, 3.3895313892515355e38), "F8_E4M3": (4, 3, 448.0), "F8_E5M2": (5, 2, 57344.0)}

Section = collections.namedtuple("Section", "tag length first offset checksum own")
Coding = collections.namedtuple("Coding", "codebook per_channel code_table gap_table")
Tensor = collections.namedtuple("Tensor", "name dtype shape same_as coding codes view place")
# Where elements lie: the first byte, how they differ from little-endian ones, and their strides.
Place = collections.namedtuple("Place", "offset big_endian negated conjugated strides")
Checksum = collections.namedtuple("Checksum", "start end places")
# Elements and bytes of a unit of codes; none where codes vary in length.
UNITS = {0: None, 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36), 10: (256, 84),
         11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
         17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
         29: (256, 56), 34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18), 42: (64, 18)}
Codebook = collections.namedtuple("Codebook", "pruned values")
# Of a codebook with scales: their type, the elements that share one, what all are multiplied by, whether blocks have minima, and
# the integer of a byte 0 where scales are integers.
Scaled = collections.namedtuple("Scaled", "values dtype block factor minima least")
SCALES = ["F32", "F16", "BF16", "F8_E8M0", "F8_E4M3", None, None, "U8", "U8", "U8", "U8"]
# The integer that a byte 0 stands for, of scales that are integers.
LEAST = {7: 0, 8: 0, 9: -32, 10: -128}
SUPER_BLOCK = 256


# Numbers and elements


def float32(value):
    """The nearest float32."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def rounded(level, dtype):
    """The element of a type that the float32 bits of a level are rounded to, to nearest, ties to even; little-endian bytes."""
    if dtype == "F32":
        return level
    value = struct.unpack("<f", level)[0]
    if dtype == "F64":
        return struct.pack("<d", value)
    exponent_bits, mantissa_bits, largest = ROUNDED[dtype]
    size, bias = SIZES[dtype], (1 << exponent_bits - 1) - 1
    sign = (level[3] >> 7) << 8 * size - 1
    top = ((1 << exponent_bits) - 1) << mantissa_bits
    if math.isnan(value):
        payload = struct.unpack("<I", level)[0] & 0x7fffff
        quiet = 1 << mantissa_bits - 1 | payload >> 23 - mantissa_bits
        code = 0x7f if size == 1 else top | quiet
    elif math.isinf(value):
        code = 0x7e if dtype == "F8_E4M3" else top
    else:
        magnitude = min(abs(value), largest)
        exponent = max(math.frexp(magnitude)[1] - 1, 1 - bias) if magnitude else 1 - bias
        # Python rounds ties to even; a mantissa that overflows carries into the exponent.
        steps = round(math.ldexp(magnitude, mantissa_bits - exponent))
        code = steps + (exponent - 1 + bias << mantissa_bits)
    return (sign | code).to_bytes(size, "little")


# The container


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        expect(self.at + count <= len(self.data), "a part ends early")
        self.at += count
        return self.data[self.at - count:self.at]

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                expect(value < 1 << 64 and (byte > 0 or shift == 7), "a varint is not in its shortest form")
                return value

    def string(self):
        return self.take(self.varint()).decode("utf-8")

    def rest(self):
        return self.take(len(self.data) - self.at)

    def finish(self):
        expect(self.at == len(self.data), "bytes follow a part")


def inflated(data, length):
    stream = zlib.decompressobj(-15)
    found = stream.decompress(data, length + 1)
    expect(len(found) == length and stream.eof and not stream.unused_data, "a deflate stream has another length")
    return found


NF4 = [-1.0, -.6961928009986877, -.5250730514526367, -.39491748809814453, -.28444138169288635, -.18477343022823334, -.09105003625154495,
       0.0, .07958029955625534, .16093020141124725, .24611230194568634, .33791524171829224, .44070982933044434, .5626170039176941,
       .7229568362236023, 1.0]
IQ4_NL = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
SUMS = {2: [[1, 2, 3]], 3: [[1, 2, 4], [3]], 4: [[1, 3, 5], [2, 4, 6]], 5: [[1, 3, 6], [2, 4, 7], [5]], 6: [[1, 4, 7], [2, 5, 8], [3, 6, 9]]}


def float_values(cursor, mantissa, exponent):
    kinds, folded = cursor.byte(), cursor.varint()
    lowest, specials = kinds & 3, kinds >> 2
    bias = folded >> 1 ^ -(folded & 1)
    expect(mantissa <= 23 and 1 <= exponent <= 15 and lowest < 3 and specials < 4 and abs(bias) <= 1 << 15, "a float is out of range")
    expect(1 + exponent + mantissa <= 17, "a number format has too many values")
    positive = {0.0}
    for x in range(1 << exponent):
        for f in range(1 << mantissa):
            ones = x == (1 << exponent) - 1
            if ones and (specials == 3 or specials == 1 and f == (1 << mantissa) - 1) or x == 0 and lowest == 1:
                continue
            subnormal = x == 0 and lowest == 0
            # Beyond float32 there is nothing to scale; what is below it is rounded, to even.
            scale = (1 if subnormal else x) - bias - mantissa
            value = math.ldexp(f if subnormal else f + (1 << mantissa), scale) if scale < 200 else math.inf
            if value < FLT_MAX + 2.0 ** 103:
                positive.add(float32(value))
    negative = [-value for value in positive]
    if specials == 2 and lowest == 2 and bias <= 149:
        # The code that would be the least normal number with a sign is no number.
        negative.remove(-math.ldexp(1.0, -bias))
    return negative + list(positive)


def e4m3(part):
    x, f = part[0] >> 3 & 15, part[0] & 7
    size = math.nan if part[0] & 127 == 127 else math.ldexp(f + 8 * (x > 0), max(x, 1) - 10)
    return -size if part[0] & 128 else size


def posit_value(code, bits, es):
    body = format(code, f"0{bits}b")[1:]
    run = len(body) - len(body.lstrip(body[0]))
    rest = body[run + 1:]
    regime = run - 1 if body[0] == "1" else -run
    exponent = int(rest[:es].ljust(es, "0") or "0", 2)
    fraction = rest[es:]
    return (1 + int(fraction or "0", 2) / 2 ** len(fraction)) * 2.0 ** (regime * 2 ** es + exponent)


def number_format(cursor):
    """The values of a number format, ascending, and whether they are above a minimum."""
    kind, first, second = cursor.take(3)
    expect(kind < 5, "a kind of number formats is unknown")
    affine = False
    if kind == 0:
        values = float_values(cursor, first, second)
    elif kind == 1:
        signed = cursor.byte()
        expect(signed < 2 and 0 < first + second <= 16 and first <= 32 and second <= 40, "a fixed-point format is out of range")
        values = [k / 2.0 ** second for k in range(1 << first + second)]
        values += [-value for value in values] if signed else []
    elif kind == 2:
        affine = second == 1
        expect(2 <= first <= 16 and second < 3, "a format of integers is out of range")
        half = 1 << first - 1
        values = range(2 * half) if affine else range(-half + (second == 0), half)
    elif kind == 3:
        expect(3 <= first <= 16 and second <= 4 and (first - 2) << second <= 126, "a posit is out of range")
        values = [posit_value(code, first, second) for code in range(1, 1 << first - 1)]
        values += [0.0] + [-value for value in values]
    else:
        expect(first < 3 and second == 4 or first == 3 and 2 <= second <= 6 or first == 4 and 3 <= second <= 7, "a list is out of range")
        sums = [0.0]
        for term in SUMS.get(second - 1, []):
            sums += [s + 2.0 ** -exponent for exponent in term for s in sums]
        positive = {1: [n / 192 for n in (0, 1, 128, 192, 64, 96, 32, 48)], 3: [0.0] + [2.0 ** (1 - k) for k in range(1, 1 << second - 1)],
                    4: [s / (max(sums) or 1.0) for s in sums]}
        values = NF4 if first == 0 else IQ4_NL if first == 2 else positive[first] + [-value for value in positive[first]]
    values = sorted({float32(value) + 0.0 for value in values})
    expect(len(values) <= 65536, "a number format has too many values")
    return values, affine


def codebook(record):
    kind, record = record[0], record[1:]
    if kind == 2:
        cursor = Cursor(record)
        values, affine = number_format(cursor)
        scale = cursor.byte()
        expect(scale < 11 and (scale < 3 or scale > 6 or not affine), "a type of scales is out of range")
        block = cursor.varint() if SCALES[scale] else 1 << 20
        factor = struct.unpack("<f", cursor.take(4))[0] if scale in (4, 5) else 1.0
        cursor.finish()
        most = SUPER_BLOCK if scale in LEAST else 1 << 20
        expect(1 <= block <= most and 0 < factor < math.inf, "scales are out of range")
        return Scaled(values, SCALES[scale], block, factor, affine, LEAST.get(scale))
    if kind == 1:
        cursor = Cursor(record)
        step, centre, symbols = struct.unpack("<f", cursor.take(4))[0], cursor.varint(), cursor.varint()
        cursor.finish()
        expect(math.isfinite(step) and centre < symbols <= 65536, "a grid is out of range")
        values = [float32((s - centre) * step) for s in range(symbols)]
        return Codebook(False, [struct.pack("<f", max(-FLT_MAX, min(FLT_MAX, value))) for value in values])
    expect(kind == 0, "a kind of codebook is unknown")
    flags, body = record[0], record[1:]
    expect(flags < 6, "flags of a codebook are out of range")
    size = 4 if flags < 2 else 2
    expect(len(body) % size == 0, "levels are not whole")
    parts = [body[i:i + size] for i in range(0, len(body), size)]
    if flags >> 1 == 1:
        parts = [struct.pack("<f", struct.unpack("<e", part)[0]) for part in parts]
    elif flags >> 1 == 2:
        parts = [b"\0\0" + part for part in parts]
    pruned = bool(flags & 1)
    return Codebook(pruned, [b"\0\0\0\0"] * pruned + parts)


def code_table(record):
    bits, coder = Bits(record[1:]), record[0]
    expect(coder < len(CODERS), "a coder is unknown")
    alphabet = bits.golomb(4) + 1
    expect(alphabet <= 65536, "an alphabet is too large")
    table = CODERS[coder](alphabet, bits)
    bits.finish()
    return table


def row_length(shape):
    """Elements of a row; 0 where there are no rows."""
    return math.prod(shape[1:]) if len(shape) > 1 else 0


def runs(count, rows, most):
    """The lengths of runs of at most so many elements of a row, of a block of `count`."""
    found, left, in_row = [], count, rows.length - rows.start if rows.length else count
    while left:
        in_row = in_row or rows.length
        run = min(left, in_row, most)
        found.append(run)
        left, in_row = left - run, in_row - run
    return found


def unfolded(number):
    return number >> 1 if number % 2 == 0 else -(number >> 1) - 1


def read_place(cursor, shape, end):
    """A place, or none."""
    flags = cursor.byte()
    if flags == 0:
        return None
    expect(flags % 2 == 1 and flags < 32, "a place is of an unknown kind")
    offset = (end + unfolded(cursor.varint())) % 2**64
    strides = [unfolded(cursor.varint()) for _ in shape] if flags & 16 else None
    return Place(offset, bool(flags & 2), bool(flags & 4), bool(flags & 8), strides)


def turned(data, dtype, place):
    """Little-endian elements as a place has them, or back, all but their order."""
    size, is_complex = SIZES[dtype], dtype in ("C64", "C128")
    part = size // 2 if is_complex else size
    is_integer = dtype[0] in "IU"
    parts = [data[i:i + part] for i in range(0, len(data), part)]
    for i, number in enumerate(parts):
        signs = (place.conjugated and is_complex and i % 2 == 1) + (place.negated and dtype not in ("BOOL", "F8_E8M0"))
        if signs == 1 and is_integer:
            number = (-int.from_bytes(number, "little") % 256**part).to_bytes(part, "little")
        elif signs == 1:
            number = number[:-1] + bytes([number[-1] ^ 0x80])
        parts[i] = number[::-1] if place.big_endian else number
    return b"".join(parts)


def positions(shape, strides):
    """Where each element goes, in row-major order."""
    found = [0]
    for count, stride in zip(shape, strides):
        found = [at + i * stride for at in found for i in range(count)]
    return found


def laid_out(data, tensor):
    """The elements of a tensor as they lie in its place."""
    if tensor.codes:
        return data
    size, data = SIZES[tensor.dtype], turned(data, tensor.dtype, tensor.place)
    if tensor.place.strides is None:
        return data
    out = bytearray(len(data))
    for i, at in enumerate(positions(tensor.shape, tensor.place.strides)):
        out[at * size:(at + 1) * size] = data[i * size:(i + 1) * size]
    return bytes(out)


def varint_codes(data, count, size):
    """The elements of varints."""
    cursor, elements = 0, []
    for _ in range(count):
        value = shift = 0
        while True:
            byte = data[cursor]
            cursor, value, shift = cursor + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        elements.append((value % 256**size).to_bytes(size, "little"))
    expect(cursor == len(data), "codes are left")
    return b"".join(elements)


def kept(how, data, dtype, rows, count):
    """Elements that are stored, deflated or in byte planes."""
    expect(how < 3, "elements are held in an unknown way")
    size = SIZES[dtype]
    if how == 1:
        data = inflated(data, count * size)
    elif how == 2:
        data = qsz_planes.decode(data, dtype, size, rows, count)
    expect(len(data) == count * size, "a block has another length")
    return data


def gap_symbols(gaps, table, data, split, count):
    """The symbols of a block of gaps whose positions end at `split`, and the paddings of positions and values."""
    cursor = Cursor(data[:split])
    non_zeros = cursor.varint()
    expect(non_zeros <= count, "there are more non-zeros than elements")
    positions, padding = gaps.decode(cursor.rest(), non_zeros, count)
    values, value_padding = table.decode(data[split:], non_zeros)
    symbols = [0] * count
    for position, value in zip(positions, values):
        symbols[position] = value + 1
    return symbols, (padding, value_padding)


class File:
    """A file: its sections, its manifest, its records."""

    def __init__(self, data):
        self.data = data
        expect(data[:8] == MAGIC and data[8] == VERSION, "this is no .qsz file of this version")
        length, checksum = struct.unpack("<II", data[-12:-4])
        expect(data[-4:] == END, "the end mark is missing")
        directory = data[-12 - length:-12]
        expect(zlib.crc32(directory) == checksum, "the directory's checksum differs")
        self.sections = self.read_directory(Cursor(directory), len(data) - 12 - length)
        self.blocks = [section for section in self.sections if section.tag < 0xc0]
        found = {section.tag: section for section in self.sections if section.tag >= 0xc0}
        self.read_manifest(found)
        self.codebooks = self.records(found.get(0xc2), codebook)
        self.code_tables = self.records(found.get(0xc3), code_table)
        self.gap_tables = self.records(found.get(0xc4), Gaps)

    def read_directory(self, cursor, end):
        sections, offset = [], 9
        while cursor.at < len(cursor.data):
            tag = cursor.byte()
            first = cursor.varint() if 0x40 <= tag < 0x80 or 0x88 <= tag < 0x90 else 0
            length = first + cursor.varint()
            if length <= 4:  # As short as a checksum, and in its place.
                sections.append(Section(tag, length, first, None, None, cursor.take(length)))
                continue
            sections.append(Section(tag, length, first, offset, struct.unpack("<I", cursor.take(4))[0], None))
            offset += length
        expect(offset == end, "sections do not end where the directory starts")
        return sections

    def section(self, section):
        if section.own is not None:
            return section.own
        data = self.data[section.offset:section.offset + section.length]
        expect(zlib.crc32(data) == section.checksum, "a section's checksum differs")
        return data

    def records(self, section, read):
        if section is None:
            return []
        cursor = Cursor(self.section(section))
        records = [cursor.take(cursor.varint()) for _ in range(cursor.varint())]
        cursor.finish()
        return [read(record) for record in records]

    def read_manifest(self, found):
        section = found.get(0xc0) or found[0xc1]
        cursor = Cursor(self.section(section))
        if section.tag == 0xc1:
            length = cursor.varint()
            cursor = Cursor(inflated(cursor.rest(), length))
        self.source_kind, self.source_name, self.source_bytes = cursor.byte(), cursor.string(), cursor.varint()
        self.content_hash, self.recipe = int.from_bytes(cursor.take(16), "little"), cursor.string()
        self.metadata = [(cursor.string(), cursor.string()) for _ in range(cursor.varint())]
        self.files = [(cursor.string(), cursor.varint()) for _ in range(cursor.varint())]
        self.source_name = self.source_name or (self.files[0][0] if self.files else "")
        self.tensors, end = [], 0
        for _ in range(cursor.varint()):
            tensor = self.tensor(cursor)
            if self.files:
                tensor = tensor._replace(place=read_place(cursor, tensor.shape, end))
                end = tensor.place.offset + self.stored_bytes(tensor) if tensor.place else end
            self.tensors.append(tensor)
        self.checksums, end = [], 0
        for _ in range(cursor.varint() if self.files else 0):
            start = end + cursor.varint()
            end, count = start + cursor.varint(), cursor.varint()
            self.checksums.append(Checksum(start, end, [end + unfolded(cursor.varint()) for _ in range(count)]))
        cursor.finish()

    @staticmethod
    def stored_bytes(tensor):
        """The bytes of what a tensor's blocks hold."""
        return tensor.codes[1] if tensor.codes else math.prod(tensor.shape) * SIZES[tensor.dtype]

    @staticmethod
    def tensor(cursor):
        name, dtype = cursor.string(), DTYPES[cursor.byte()]
        shape = [cursor.varint() for _ in range(cursor.varint())]
        role, content = cursor.byte(), cursor.byte()
        expect(role < 10 and content < 5, "a role or content is out of range")
        same_as = coding = codes = view = None
        if content == 1:
            same_as = cursor.varint()
        elif content == 2:
            granularity = cursor.byte()
            expect(granularity < 2, "a granularity is out of range")
            first, table, gaps = cursor.varint(), cursor.varint(), cursor.varint()
            coding = Coding(first, granularity == 1, table, gaps - 1 if gaps else None)
        elif content == 3:
            codes = cursor.byte(), cursor.varint()
        elif content == 4:
            view = read_place(cursor, shape, 0)
        return Tensor(name, dtype, shape, same_as, coding, codes, view, None)

    def decoded(self):
        """What the blocks of each tensor hold, and the skeleton behind them."""
        all_stored, blocks = [], iter(self.blocks)
        holes = sum(self.stored_bytes(tensor) for tensor in self.tensors if tensor.place)
        holes += sum(4 * len(checksum.places) for checksum in self.checksums)
        length = sum(length for _, length in self.files) - holes
        skeleton = Tensor("", "U8", [length], None, None, None, None, None)
        for tensor in self.tensors + [skeleton]:
            if tensor.same_as is not None or tensor.view:
                all_stored.append(b"" if tensor.view else all_stored[tensor.same_as])
                continue
            if tensor.codes:
                unit = UNITS[tensor.codes[0]]
                shape = [tensor.codes[1] // unit[1], unit[1]] if unit and unit[1] > 1 else [tensor.codes[1]]
                tensor = Tensor("", "U8", shape, None, None, None, None, None)
            count, length = math.prod(tensor.shape), row_length(tensor.shape)
            whole = BLOCK - BLOCK % length if 1 <= length <= BLOCK else BLOCK
            parts = []
            for first in range(0, count, whole):
                parts.append(self.block(next(blocks), tensor, first, min(whole, count - first)))
            all_stored.append(b"".join(parts))
        expect(next(blocks, None) is None, "blocks are left")
        return all_stored[:-1], all_stored[-1]

    def elements(self):
        """The little-endian elements of each tensor."""
        all_stored, skeleton = self.decoded()
        elements = []
        for tensor, stored in zip(self.tensors, all_stored):
            size = SIZES[tensor.dtype]
            if tensor.codes:
                expect(tensor.codes[0] == 0, "codes of blocks are not decoded here")
                stored = varint_codes(stored, math.prod(tensor.shape), size)
            elif tensor.view:
                file = self.restored([b"\0" * len(stored) for stored in all_stored], skeleton)
                strides = tensor.view.strides or [math.prod(tensor.shape[i + 1:]) for i in range(len(tensor.shape))]
                starts = [tensor.view.offset + at * size for at in positions(tensor.shape, strides)]
                stored = turned(b"".join(file[at:at + size] for at in starts), tensor.dtype, tensor.view)
                if tensor.view.big_endian:  # Numbers are turned around before their signs are changed.
                    data = b"".join(file[at:at + size] for at in starts)
                    data = turned(data, tensor.dtype, Place(0, True, False, False, None))
                    stored = turned(data, tensor.dtype, tensor.view._replace(big_endian=False))
            elements.append(stored)
        return elements

    def restored(self, all_stored, skeleton):
        """The files that are given back, one after the other."""
        holes = [(tensor.place.offset, laid_out(stored, tensor)) for tensor, stored in zip(self.tensors, all_stored)
                 if tensor.place]
        holes += [(place, b"\0" * 4) for checksum in self.checksums for place in checksum.places]
        out, taken = bytearray(), 0
        for offset, data in sorted(hole for hole in holes if hole[1]):
            gap = offset - len(out)
            expect(gap >= 0, "places overlap")
            out += skeleton[taken:taken + gap] + data
            taken += gap
        out += skeleton[taken:]
        for checksum in self.checksums:
            for place in checksum.places:
                out[place:place + 4] = struct.pack("<I", zlib.crc32(out[checksum.start:checksum.end]))
        expect(len(out) == sum(length for _, length in self.files), "the files have another length")
        return bytes(out)

    def block(self, section, tensor, first, count):
        """The elements of a block."""
        data = self.section(section)
        length = row_length(tensor.shape)
        rows = Rows(length, first % length) if length else NO_ROWS
        if tensor.coding is None:
            expect(section.tag & ~3 == 0x80, "a block is not one of elements")
            return kept(section.tag & 3, data, tensor.dtype, rows, count)
        scaled = self.codebooks[tensor.coding.codebook]
        if isinstance(scaled, Scaled):
            expect(not tensor.coding.per_channel, "a format of numbers is a tensor's")
            if scaled.dtype is None:
                symbols, scales = self.symbols(section, data, tensor.coding, rows, count), [(scaled.factor, 0.0)] * count
            else:
                expect(section.tag & ~7 == 0x88, "a block has no scales")
                scales = self.scales(data[:section.first], scaled, rows, count)
                symbols, padding = self.code_tables[tensor.coding.code_table].decode(data[section.first:], count, rows)
                expect(padding == section.tag & 7, "a block has another padding")
            expect(max(symbols, default=0) < len(scaled.values), "a symbol is not in its codebook")
            products = [float32(scaled.values[s] * scale) for s, (scale, _) in zip(symbols, scales)]
            sums = [float32(product + minimum) for product, (_, minimum) in zip(products, scales)] if scaled.minima else products
            return b"".join(rounded(struct.pack("<f", max(-FLT_MAX, min(FLT_MAX, value))), tensor.dtype) for value in sums)
        symbols = self.symbols(section, data, tensor.coding, rows, count)
        channel = count + first if not tensor.coding.per_channel else math.prod(tensor.shape[1:])
        found, elements = {}, []
        for i, symbol in enumerate(symbols, first):
            index = tensor.coding.codebook + i // channel
            if index not in found:
                found[index] = [rounded(level, tensor.dtype) for level in self.codebooks[index].values]
            expect(symbol < len(found[index]), "a symbol is not in its codebook")
            elements.append(found[index][symbol])
        return b"".join(elements)

    @staticmethod
    def scales(data, scaled, rows, count):
        """The scale and the minimum of every element of a block."""
        is_two_level = scaled.least is not None
        supers = runs(count, rows, SUPER_BLOCK if is_two_level else scaled.block)
        blocks = [(at, min(scaled.block, run - first)) for at, run in enumerate(supers) for first in range(0, run, scaled.block)]
        own, halves = len(blocks) * (1 + scaled.minima), len(supers) * (1 + scaled.minima) if is_two_level else 0
        stored = kept(data[0], data[1:], scaled.dtype, NO_ROWS, own + 2 * halves)
        size = SIZES[scaled.dtype]
        parts = [stored[i:i + size] for i in range(0, own * size, size)]
        widened = {"F32": lambda part: struct.unpack("<f", part)[0], "F16": lambda part: struct.unpack("<e", part)[0],
                   "BF16": lambda part: struct.unpack("<f", b"\0\0" + part)[0], "U8": lambda part: part[0] + scaled.least,
                   "F8_E8M0": lambda part: math.nan if part[0] == 255 else math.ldexp(1.0, part[0] - 127), "F8_E4M3": e4m3}[scaled.dtype]
        numbers = [widened(part) for part in parts]
        low, high = stored[own * size:][:halves], stored[own * size:][halves:]
        factors = [struct.unpack("<e", bytes(pair))[0] for pair in zip(low, high)]
        of_scales = factors[:len(supers)] if is_two_level else [scaled.factor] * len(supers)
        of_minima = factors[len(supers):] if is_two_level and scaled.minima else [1.0] * len(supers)
        scales = [float32(number * of_scales[at]) for number, (at, _) in zip(numbers, blocks)]
        minima = [float32(number * of_minima[at]) for number, (at, _) in zip(numbers[len(blocks):], blocks)] or [0.0] * len(blocks)
        return [pair for *pair, (_, run) in zip(scales, minima, blocks) for _ in range(run)]

    def symbols(self, section, data, coding, rows, count):
        table = self.code_tables[coding.code_table]
        if coding.gap_table is None:
            expect(section.tag & ~0x38 == 0, "a block is not one of symbols")
            symbols, padding = table.decode(data, count, rows)
            expect(padding == section.tag >> 3 & 7, "a block has another padding")
            return symbols
        expect(section.tag & ~0x3f == 0x40, "a block is not one of gaps")
        symbols, paddings = gap_symbols(self.gap_tables[coding.gap_table], table, data, section.first, count)
        expect(paddings == (section.tag & 7, section.tag >> 3 & 7), "a block has other paddings")
        return symbols


# Commands


def difference(path):
    """What is wrong with a file's decoding; nothing where it is right."""
    try:
        file = File(path.read_bytes())
        found = b"".join(file.elements())
        restored = path.with_suffix(".file")
        if restored.exists() and file.restored(*file.decoded()) != restored.read_bytes():
            return f"{path.name}: other files"
    except Damaged as error:
        return f"{path.name}: {error}"
    except Exception as error:  # A mistake here must not hide what the other files do.
        return f"{path.name}: {type(error).__name__}: {error}"
    return None if found == path.with_suffix(".elements").read_bytes() else f"{path.name}: other elements"


def check(folder):
    """Decodes every file of a folder; the number of files and what is wrong with them."""
    paths = sorted(Path(folder).glob("*.qsz"))
    with multiprocessing.Pool() as pool:
        wrong = [line for line in pool.imap(difference, paths, 8) if line]
    return len(paths), wrong


def vectors(document):
    """The test vectors of a document: a title each, and the words of each part."""
    text = document.split("<!-- vectors -->")[1].split("```")[1].removeprefix("text\n")
    for vector in text.strip().split("\n\n"):
        title, *lines = re.sub(r"\n {9}", " ", vector).split("\n")
        yield title.removeprefix("# "), {line[:9].strip(): line[9:].split() for line in lines}


def decoded_vector(parts):
    """What a vector decodes to, as words and as bytes."""
    data = {name: bytes.fromhex("".join(parts.get(name, ()))) for name in ("table", "gaps", "code", "levels")}
    rows = Rows(*map(int, parts.get("rows", (0, 0))))
    # The number, or all of what is decoded.
    what = parts.get("symbols") or parts["elements"]
    count = int(what[0]) if "first" in parts else len(what)
    if "symbols" in parts:
        table = code_table(data["table"])
        if "gaps" in parts:
            symbols, _ = gap_symbols(Gaps(data["gaps"]), table, data["code"], int(parts["split"][0]), count)
        else:
            symbols, _ = table.decode(data["code"], count, rows)
        return [str(symbol) for symbol in symbols], struct.pack(f"<{count}H", *symbols)
    dtype = parts["type"][0]
    if "levels" in parts:
        levels = data["levels"]
        elements = b"".join(rounded(levels[i:i + 4], dtype) for i in range(0, len(levels), 4))
    else:
        size = SIZES[dtype]
        elements = qsz_planes.decode(data["code"], dtype, size, rows, count // size)
    return [f"{byte:02x}" for byte in elements], elements


def check_vectors(document):
    """Decodes every vector of a document; their number and what is wrong with them."""
    count, wrong = 0, []
    for title, parts in vectors(document):
        count += 1
        try:
            words, data = decoded_vector(parts)
        except Damaged as error:
            wrong.append(f"{title}: {error}")
            continue
        what = parts.get("symbols") or parts["elements"]
        told = [str(len(words)), "with", "CRC-32", f"{zlib.crc32(data):08x}"] if "first" in parts else words
        if what != told or words[:len(parts.get("first", ()))] != parts.get("first", []):
            wrong.append(f"{title}: other {'symbols' if 'symbols' in parts else 'elements'}")
    return count, wrong


def report(what, count, wrong, start):
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"{count - len(wrong)} of {count} {what}, {time.monotonic() - start:.0f} s")
    sys.exit(1 if wrong or not count else 0)


def main(arguments):
    start = time.monotonic()
    match arguments:
        case ["decode", source, target]:
            Path(target).write_bytes(b"".join(File(Path(source).read_bytes()).elements()))
        case ["restore", source, target]:
            file = File(Path(source).read_bytes())
            Path(target).write_bytes(file.restored(*file.decoded()))
        case ["check", folder]:
            report("files decode to their elements", *check(folder), start)
        case ["vectors"]:
            report("vectors decode", *check_vectors(DOCUMENT.read_text()), start)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
