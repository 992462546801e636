"""The coders of docs/format.md, decoding alone: bit strings, fixed length, Huffman, rANS, gaps, context-adaptive.

Written from the document, for reading beside it: names are its names, speed is no aim.
"""

import collections

ONE = 1 << 16
CONTEXTS = 2480
FACTOR_CONTEXTS = 24 * 64
CLASSES = 20
BUCKETS = 40
# What the state of a trellis is changed by after an odd grid and after an odd coordinate, by the number of states.
TRELLISES = {1: (0, 0), 4: (2, 1), 8: (5, 2), 16: (9, 2), 32: (18, 4), 64: (33, 10)}

# Where a run of elements lies in its tensor: elements of a row, 0 where there are no rows, and the column of the first.
Rows = collections.namedtuple("Rows", "length start")
NO_ROWS = Rows(0, 0)


class Damaged(Exception):
    """A file that contradicts the document."""


def expect(condition, message):
    if not condition:
        raise Damaged(message)


def ceil_log2(size):
    return (size - 1).bit_length()


def held(value, limit):
    return max(-limit, min(limit, value))


def wrapped(value, bits):
    """A whole number modulo 2^bits, as a signed one."""
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


def unfolded(number):
    return -(number + 1 >> 1) if number & 1 else number >> 1


class Bits:
    """A bit string, from the top bit of the first byte down."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def read(self, count):
        end = self.at + count
        expect(end <= 8 * len(self.data), "a bit string ends early")
        last = (end + 7) // 8
        value = int.from_bytes(self.data[self.at // 8:last], "big") >> (8 * last - end)
        self.at = end
        return value & ((1 << count) - 1)

    def golomb(self, order):
        zeros = 0
        while self.read(1) == 0:
            zeros += 1
        expect(zeros + order <= 31, "an exponential Golomb code is too long")
        return (1 << zeros + order) + self.read(zeros + order) - (1 << order)

    def bytes_read(self):
        return (self.at + 7) // 8

    def finish(self):
        """Checks that nothing but the filling of the last byte is left; bits of it."""
        expect(self.bytes_read() == len(self.data), "bytes follow a bit string")
        padding = 8 * len(self.data) - self.at
        expect(self.read(padding) == 0, "a bit string is filled with other bits than zeros")
        return padding


class Fixed:
    def __init__(self, alphabet, _bits):
        self.alphabet, self.width = alphabet, ceil_log2(alphabet)

    def decode(self, data, count, _rows=NO_ROWS):
        """The symbols, and the bits that fill the last byte."""
        bits = Bits(data)
        symbols = [bits.read(self.width) for _ in range(count)]
        expect(all(symbol < self.alphabet for symbol in symbols), "a symbol is not in the alphabet")
        return symbols, bits.finish()


class Huffman:
    def __init__(self, alphabet, bits):
        self.alphabet = alphabet
        coded = list(range(alphabet)) if bits.read(1) else self.covered(bits)
        expect(coded, "no symbol has a code")
        self.only = coded[0] if len(coded) == 1 else None
        if self.only is not None:
            return
        lengths = [bits.read(5)]
        order = bits.read(2)
        while len(lengths) < len(coded):
            lengths.append(lengths[-1] + unfolded(bits.golomb(order)))
        expect(all(1 <= length <= 24 for length in lengths), "a code has no length from 1 to 24")
        expect(sum(1 << 24 - length for length in lengths) == 1 << 24, "codes are no complete prefix code")
        self.symbols, code, before = {}, 0, 0
        for length, symbol in sorted(zip(lengths, coded)):
            code <<= length - before
            self.symbols[length, code] = symbol
            code, before = code + 1, length

    def covered(self, bits):
        coded, at, has = [], 0, True
        while at < self.alphabet:
            run = bits.golomb(2)
            expect(run > 0 or at == 0 and has, "a run is empty")
            expect(at + run <= self.alphabet, "a run leaves the alphabet")
            coded.extend(range(at, at + run) if has else ())
            at, has = at + run, not has
        return coded

    def read(self, bits):
        if self.only is not None:
            return self.only
        length = code = 0
        while True:
            length, code = length + 1, code << 1 | bits.read(1)
            symbol = self.symbols.get((length, code))
            if symbol is not None:
                return symbol

    def decode(self, data, count, _rows=NO_ROWS):
        bits = Bits(data)
        return [self.read(bits) for _ in range(count)], bits.finish()


class Rans:
    def __init__(self, alphabet, bits):
        self.precision = bits.read(4) + 12
        expect(self.precision <= 20, "frequencies sum to more than 2^20")
        self.frequencies, top = [], self.precision - 1
        for _ in range(alphabet):
            top += unfolded(bits.golomb(0))
            expect(0 <= top <= self.precision, "a frequency is out of range")
            self.frequencies.append((1 << top) + bits.read(top))
        expect(sum(self.frequencies) == 1 << self.precision, "frequencies have another sum")
        self.starts, self.symbols = [], []
        for symbol, frequency in enumerate(self.frequencies):
            self.starts.append(len(self.symbols))
            self.symbols.extend([symbol] * frequency)

    def decode(self, data, count, _rows=NO_ROWS):
        if count == 0:
            expect(not data, "bytes follow no symbols")
            return [], 0
        states = 1 if count < 65536 else 4
        x = [int.from_bytes(data[8 * i:8 * i + 8], "little") for i in range(states)]
        expect(all(1 << 31 <= state < 1 << 63 for state in x), "a state is out of range")
        at, symbols, mask = 8 * states, [], (1 << self.precision) - 1
        for i in range(count):
            state = x[i % states]
            slot = state & mask
            symbol = self.symbols[slot]
            state = self.frequencies[symbol] * (state >> self.precision) + slot - self.starts[symbol]
            if state < 1 << 31:
                expect(at + 4 <= len(data), "words end early")
                state = state << 32 | int.from_bytes(data[at:at + 4], "little")
                at += 4
            x[i % states] = state
            symbols.append(symbol)
        expect(at == len(data) and all(state == 1 << 31 for state in x), "words or states are left")
        return symbols, 0


class Gaps:
    """Positions of non-zeros."""

    def __init__(self, data):
        bits = Bits(data)
        self.bits = bits.read(4) + 1
        self.code = Huffman(1 << self.bits, bits)
        bits.finish()

    def decode(self, data, non_zeros, count):
        bits, filler, at, positions = Bits(data), (1 << self.bits) - 1, 0, []
        for _ in range(non_zeros):
            while True:
                gap = self.code.read(bits)
                at += gap
                expect(at < count, "a position is behind the block")
                if gap < filler:
                    break
            positions.append(at)
            at += 1
        return positions, bits.finish()


class RangeDecoder:
    """Binary decisions; ones take the lower part."""

    def __init__(self, data):
        self.data, self.at = data, 4
        self.range, self.code = 0xffffffff, int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    def decide(self, bound):
        if self.code < bound:
            bit, self.range = 1, bound
        else:
            bit = 0
            self.code -= bound
            self.range -= bound
        while self.range < 1 << 24:
            following = self.data[self.at] if self.at < len(self.data) else 0
            self.range, self.code, self.at = self.range << 8, self.code << 8 | following, self.at + 1
        return bit

    def chance(self, estimate):
        """A decision whose probability is the mean of two estimates."""
        probability = min(max((estimate[0] + estimate[1]) >> 1, 64), 65472)
        return self.decide((self.range >> 16) * probability)

    def even(self, count):
        value = 0
        for _ in range(count):
            value = value << 1 | self.decide(self.range >> 1)
        return value

    def finish(self):
        expect(self.at == len(self.data) + 3, "decisions take more or fewer bytes than there are")


FAST = [4] + [5] * 3 + [6] * 12
SLOW = [5, 6, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 9, 9, 9, 9]


class Contexts(RangeDecoder):
    """Decisions in contexts: each has a fast and a slow estimate, and how often it was decided."""

    def __init__(self, data, starts):
        super().__init__(data)
        self.estimates = [[start, start, 0] for start in starts]

    def bit(self, context):
        estimate = self.estimates[context]
        bit = self.chance(estimate)
        target, step = 65535 if bit else 0, min(estimate[2] >> 4, 15)
        estimate[0] += (target - estimate[0]) >> FAST[step]
        estimate[1] += (target - estimate[1]) >> SLOW[step]
        estimate[2] += 1
        return bit

    def magnitude_class(self, first):
        found = 0
        while found < CLASSES - 1 and self.bit(first + found):
            found += 1
        return found


def start_probability(start):
    below = ONE // 2
    for _ in range(start % 32):
        below = below * 27 // 32
    return below if start < 32 else ONE - below


def class_start(found):
    """The first magnitude of a class, and the bits of the offset in it."""
    return (found + 1, 0) if found < 4 else (5 + 2 * ((1 << found - 4) - 1), found - 3)


class Predictor:
    """What stands before the decisions of a block."""

    def __init__(self, bits, rows):
        self.rank = bits.golomb(0)
        expect(self.rank == 0 or self.rank <= 32 and rows.length >= 16, "a rank is out of range")
        self.scale = bits.read(5) if self.rank else 0
        self.coarse = [bits.read(4) for _ in range(self.rank)]
        expect(self.scale <= 20 and all(low <= 11 for low in self.coarse), "a scale is out of range")
        self.filter_rate, self.mean_rate = bits.read(2), bits.read(2)
        expect(self.mean_rate <= 2, "an adaptation rate is out of range")
        positions = bits.golomb(0)
        distances = bits.golomb(2) if positions else 0
        expect(positions <= 64 and distances <= 8, "there are too many coefficients")
        self.distances = [bits.golomb(2) for _ in range(distances)]
        expect(all(1 <= distance <= 64 for distance in self.distances), "a distance is out of range")
        self.positions = [self.coefficients(bits, i, positions) for i in range(positions)]
        self.mixtures = self.patterns = ()

    def coefficients(self, bits, i, positions):
        """Pairs of distance and coefficient, then those of the number above and of the column's mean."""
        seen = [d for d in self.distances if d <= i or d % positions == 0]
        folded = [bits.golomb(4) for _ in range(len(seen) + 2)]
        expect(max(folded) <= 255, "a coefficient is out of range")
        *c, above, mean = map(unfolded, folded)
        return list(zip(seen, c)), above, mean

    def read_factors(self, decisions, rows, count):
        touched = -(-(rows.start + count) // rows.length) if self.rank else 0
        ranks = range(self.rank)
        self.mixtures = [[self.factor(decisions, CONTEXTS + 24 * k, 0) for k in ranks] for _ in range(touched)]
        columns = range(rows.length if self.rank else 0)
        self.patterns = [[self.factor(decisions, CONTEXTS + 24 * (32 + k), self.coarse[k]) for k in ranks] for _ in columns]

    @staticmethod
    def factor(decisions, context, coarse):
        if not decisions.bit(context):
            return 0
        negative = decisions.even(1)
        first, bits = class_start(decisions.magnitude_class(context + 1))
        magnitude = first + decisions.even(bits)
        return wrapped((-magnitude if negative else magnitude) << coarse, 16)

    def base(self, row, column):
        if self.rank == 0:
            return 0
        total = sum(a * b for a, b in zip(self.mixtures[row], self.patterns[column]))
        return held((wrapped(total, 32) << self.scale) >> 12, 1 << 22)


class Column:
    """Of the number above its residual A and its distance u, and the running means M of residuals and t of distances."""

    __slots__ = ("A", "M", "u", "t")

    def __init__(self):
        self.A = self.M = self.u = self.t = 0


class Neighbours:
    """What the numbers before let expect of the next."""

    def __init__(self, predictor, rows):
        self.predictor = predictor
        self.length, self.column = rows
        self.row, self.in_row = 0, 0
        self.weights = [0] * 16
        # Those of this row, behind 64 zeros.
        self.residuals = [0] * (64 + self.length)
        self.columns = [Column() for _ in range(self.length)]
        self.r = self.d1 = self.d2 = 0

    def expected(self):
        """The expected value in 1/64, and the part of the factors."""
        predictor = self.predictor
        base = predictor.base(self.row, self.column)
        if not self.length:
            return base, base
        total, at = base, 64 + self.column
        if predictor.positions:
            coefficients, above, mean = predictor.positions[self.column % len(predictor.positions)]
            column = self.columns[self.column]
            part = above * column.A + mean * column.M + sum(c * self.residuals[at - d] for d, c in coefficients)
            total += held(wrapped(part, 32) >> 4, 1 << 23)
        if predictor.filter_rate:
            part = sum(w * x for w, x in zip(self.weights, self.residuals[at - 1:at - 17:-1]))
            total += held(part >> 18, 1 << 22)
        return held(total, 1 << 23), base

    def bucket(self):
        r = u = t = self.r
        if self.row > 0:
            u, t = self.columns[self.column].u, self.columns[self.column].t
        d1, d2 = self.d1 if self.in_row > 0 else r, self.d2 if self.in_row > 1 else r
        d = (d1 + d2 + u + 6 * r + 6 * t) // 15
        if d < 2:
            return d
        top = d.bit_length() - 1
        return min(2 * top + 1 + (d >> top - 1 & 1), BUCKETS - 1)

    def push(self, v, expected, base):
        predictor, rate = self.predictor, self.predictor.mean_rate
        distance, residual = abs(256 * v - 4 * expected), 16 * v - (base >> 2)
        self.r += (distance - self.r) >> 4 + rate
        self.d1, self.d2 = distance, self.d1
        self.in_row += 1
        if not self.length:
            return
        at = 64 + self.column
        if predictor.filter_rate:
            x = self.residuals[at - 1:at - 17:-1]
            up, down = 64 * v - expected << 16 + 2 * predictor.filter_rate, 256 + sum(x * x for x in x)
            gain = abs(up) // down * (1 if up > 0 else -1)
            self.weights = [held(w + (gain * x >> 8), 1 << 24) for w, x in zip(self.weights, x)]
        column = self.columns[self.column]
        column.A, column.u = residual, distance
        column.M += residual - column.M >> 4
        if self.row == 0:
            column.t = self.r + (distance - self.r >> 2)
        else:
            column.t += distance - column.t >> min(2 + self.row.bit_length() - 1, (3, 5, 6)[rate])
        self.residuals[at] = residual
        self.column += 1
        if self.column == self.length:
            self.column, self.in_row, self.row = 0, 0, self.row + 1


class Context:
    """Context-adaptive coding."""

    def __init__(self, alphabet, bits):
        self.alphabet = alphabet
        self.exact_zero = bits.read(1)
        self.states = 1 << bits.read(3)
        expect(self.states in TRELLISES, "a number of states is out of range")
        self.centre = bits.golomb(4)
        expect(self.centre <= alphabet, "a centre is out of range")
        self.starts, at = [0] * CONTEXTS, 0
        while True:
            at += bits.golomb(0)
            if at == CONTEXTS:
                break
            expect(at < CONTEXTS, "there are too many starts")
            self.starts[at] = bits.read(6)
            expect(self.starts[at] > 0, "a start is 0")
            at += 1

    def symbol(self, v):
        if not self.exact_zero:
            symbol = v + self.centre
        elif v == 0:
            symbol = 0
        elif v < 0:
            symbol = v + self.centre
            expect(symbol > 0, "a negative number is the exact zero")
        else:
            symbol = v + self.centre - 1
        expect(0 <= symbol < self.alphabet, "a symbol is not in the alphabet")
        return symbol

    def nearest(self, expected, odd):
        """The coordinate nearest to the expected value."""
        if self.states == 1:
            return expected + 32 >> 6
        if not odd:
            return expected + 64 >> 7
        if abs(expected) < 32:
            return 0
        return (abs(expected) + 128 >> 7) * (1 if expected > 0 else -1)

    def number(self, k, odd):
        if self.states == 1:
            return k
        return 2 * k - (odd and (k > 0) - (k < 0))

    def coordinate(self, decisions, expected, bucket, odd):
        nearest = self.nearest(expected, odd)
        off = expected - 64 * self.number(nearest, odd)
        below, fraction = int(off < 0), min(4 * abs(off) // (33 if self.states == 1 else 65), 3)
        on_grid = bucket + (BUCKETS if odd else 0)
        if not decisions.bit(2 * (4 * on_grid + fraction) + (nearest != 0)):
            return nearest
        less = decisions.bit(640 + 4 * bucket + fraction) != below
        found = decisions.magnitude_class(800 + 20 * on_grid)
        first, bits = class_start(found)
        offset = 0
        if bits > 0:
            offset = decisions.bit(2400 + 4 * found)
        if bits > 1:
            offset = offset << 1 | decisions.bit(2401 + 4 * found + offset)
        if bits > 2:
            offset = offset << bits - 2 | decisions.even(bits - 2)
        return nearest + (-(first + offset) if less else first + offset)

    def decode(self, data, count, rows=NO_ROWS):
        if count == 0:
            expect(not data, "bytes follow no symbols")
            return [], 0
        bits = Bits(data)
        rows = rows if rows.length < count else NO_ROWS
        predictor = Predictor(bits, rows)
        starts = [start_probability(start) for start in self.starts] + [ONE // 2] * FACTOR_CONTEXTS
        decisions = Contexts(data[bits.bytes_read():], starts)
        predictor.read_factors(decisions, rows, count)
        neighbours = Neighbours(predictor, rows)
        a, b = TRELLISES[self.states]
        symbols, state = [], 0
        for _ in range(count):
            odd = state & 1
            expected, base = neighbours.expected()
            k = self.coordinate(decisions, expected, neighbours.bucket(), odd)
            v = self.number(k, odd)
            state = state >> 1 ^ (a if odd else 0) ^ (b if k & 1 else 0)
            neighbours.push(v, expected, base)
            symbols.append(self.symbol(v))
        decisions.finish()
        return symbols, 0


CODERS = [Fixed, Huffman, Rans, Context]
