"""Byte planes of docs/format.md, decoding alone."""

from qsz_coders import Bits, RangeDecoder, Rows, expect, unfolded

# Bits of the exponent field by element type; integers have none.
EXPONENTS = {"F64": 11, "F32": 8, "F16": 5, "BF16": 8, "F8_E4M3": 4, "F8_E5M2": 5, "C64": 8, "C128": 11}
SIGNED = {"I64", "I32", "I16", "I8"}
BUCKETS = 32


class Estimate:
    """An adaptive probability of a one."""

    __slots__ = ("fast", "slow", "seen")

    def __init__(self):
        self.fast = self.slow = 32768
        self.seen = 0

    def decide(self, decisions):
        bit = decisions.chance((self.fast, self.slow))
        self.seen += 1
        fast, slow = ((1 << 17) // (2 * min(self.seen, most) + 1) for most in (31, 254))
        if bit:
            self.fast += (65536 - self.fast) * fast >> 16
            self.slow += (65536 - self.slow) * slow >> 16
        else:
            self.fast -= self.fast * fast >> 16
            self.slow -= self.slow * slow >> 16
        return bit


class Plane:
    def __init__(self, bits):
        self.width, self.depth = bits.read(4), bits.read(4)
        expect(self.depth <= self.width <= 8, "a plane is too wide or too deep")
        self.least, self.step = (bits.read(8), bits.read(3)) if self.width < 8 else (0, 0)
        expect(self.width + self.step <= 8, "a step is too large")


class Neighbours:
    """What the lanes before let expect of the next."""

    def __init__(self, rows, lanes, top):
        self.length = rows.length if rows.length < lanes else 0
        self.at = rows.start if self.length else 0
        # Of columns: None above nothing, -1 above a zero, else the level; and the mean.
        self.above, self.means = [None] * self.length, [None] * self.length
        self.top, self.row, self.left = 16 * top, None, None
        self.after_zero, self.zeros = True, 128

    def zero_context(self):
        above = self.above[self.at] if self.length else None
        return 8 * (3 * self.after_zero + (0 if above is None else 1 if above < 0 else 2)) + (self.zeros >> 5)

    def bucket(self):
        row = self.top if self.row is None else self.row
        mean = self.means[self.at] if self.length else None
        mean = row if mean is None else mean
        left = row if self.left is None else self.left
        above = self.above[self.at] if self.length else None
        above = mean if above is None or above < 0 else above
        expected = (left + above + 6 * row + 6 * mean) // 14
        return min(max(self.top - expected, 0) // 16, BUCKETS - 1)

    def push(self, level):
        """Moves on past a lane of this level, or a zero that was told apart."""
        if level is not None:
            level *= 16
            self.row = level if self.row is None else self.row + (level - self.row >> 4)
            self.left = level
            if self.length:
                mean = self.means[self.at]
                self.means[self.at] = self.row if mean is None else mean + (level - mean >> 3)
        self.after_zero = level is None
        self.zeros += 256 - self.zeros >> 4 if level is None else -(self.zeros >> 4)
        if self.length:
            self.above[self.at] = -1 if level is None else level
            self.at = (self.at + 1) % self.length


class Lanes:
    """The lanes of an element type."""

    def __init__(self, dtype, size):
        self.per_element = 2 if dtype.startswith("C") else 1
        self.bytes = size // self.per_element
        self.exponent, self.signed = EXPONENTS.get(dtype), dtype in SIGNED

    def level(self, lane):
        return lane >> 8 * self.bytes - self.exponent if self.exponent else lane.bit_length()

    def to_bytes(self, lane):
        if self.exponent:
            lane = lane >> 1 | (lane & 1) << 8 * self.bytes - 1
        elif self.signed:
            lane = unfolded(lane) % (1 << 8 * self.bytes)
        return lane.to_bytes(self.bytes, "little")


class Planes:
    """A block of lanes."""

    def __init__(self, data, lanes, rows, count):
        self.lanes, self.count = lanes, count * lanes.per_element
        bits = Bits(data)
        self.has_zeros, self.all_above, top = bits.read(1), bits.read(1), bits.read(11)
        self.planes = [Plane(bits) for _ in range(lanes.bytes)]
        self.not_zero = bits.golomb(12) if self.has_zeros else self.count
        expect(self.not_zero <= self.count, "more lanes are not zero than there are")
        self.first = next((i for i, plane in enumerate(self.planes) if plane.width), None)
        self.lower = bits
        raw = self.not_zero * sum(plane.width - plane.depth for plane in self.planes)
        self.ends = (bits.at + raw + 7) // 8
        self.decisions = RangeDecoder(data[self.ends:])
        self.neighbours = Neighbours(Rows(rows.length * lanes.per_element, rows.start * lanes.per_element), self.count, top)
        self.estimates = {}
        self.hash_bits = min(18, 5 + self.count.bit_length() - 1)

    def decide(self, *context):
        return self.estimates.setdefault(context, Estimate()).decide(self.decisions)

    def upper(self, i, above):
        """The decided bits of a plane."""
        plane, node = self.planes[i], 1
        hashed = self.all_above and i != self.first
        if i == self.first:
            context = self.neighbours.bucket()
        elif hashed:
            context = ((above + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1) >> 64 - self.hash_bits
        else:
            context = above & 0xff
        for _ in range(plane.depth):
            if hashed:
                bit = self.decide(i, (context + node * 0x9E35) % (1 << self.hash_bits))
            else:
                bit = self.decide(i, context, node)
            node = node << 1 | bit
        return node - (1 << plane.depth)

    def lane(self):
        if self.has_zeros and self.decide("zero", self.neighbours.zero_context()):
            self.neighbours.push(None)
            return self.decide("zero", 48) if self.lanes.exponent else 0
        lane = 0
        for i, plane in enumerate(self.planes):
            upper = self.upper(i, lane) if plane.depth else 0
            low = plane.width - plane.depth
            value = upper << low | self.lower.read(low)
            lane = lane << 8 | (plane.least + (value << plane.step)) & 0xff
        self.neighbours.push(self.lanes.level(lane))
        self.not_zero -= 1
        return lane

    def decode(self):
        elements = b"".join(self.lanes.to_bytes(self.lane()) for _ in range(self.count))
        expect(self.not_zero == 0, "another number of lanes is not zero")
        expect(self.lower.bytes_read() == self.ends, "bits of lanes are left")
        self.lower.data = self.lower.data[:self.ends]
        self.lower.finish()
        self.decisions.finish()
        return elements


def decode(data, dtype, size, rows, count):
    """The little-endian elements of a block."""
    return Planes(data, Lanes(dtype, size), rows, count).decode()
