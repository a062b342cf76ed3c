"""Exact sums of products of any exponents, in a long integer: for what a float64 cannot hold."""

from halfulp.dtypes.jit import device
from halfulp.dtypes.natives import unpack
from halfulp.engines.wide import A_BYTES, B_BYTES
from halfulp.engines.wide_packing import put

#: 32-bit digits in int64 words: from 2^-350, below every product of two float32, up to 2^300.
_WORDS, _LOWEST = 21, -350
_DIGIT = 0xFFFFFFFF
_FRACTION = (1 << 52) - 1


@device
def _add_product(words: int, x: int, y: int) -> None:
    """words += x * y; both are bits of float64 that float32 holds, finite."""
    if (x << 1) == 0 or (y << 1) == 0:
        return
    # of the significands' 53 bits the lowest 29 are zero
    significand = (((x & _FRACTION) | (1 << 52)) >> 29) * (((y & _FRACTION) | (1 << 52)) >> 29)
    exponent = ((x >> 52) & 2047) + ((y >> 52) & 2047) - 2 * 1023 - 46
    place = exponent - _LOWEST
    shift, word = place & 31, words + (place >> 5) * 8
    low, high = (significand & _DIGIT) << shift, (significand >> 32) << shift
    sign = -1 if (x ^ y) < 0 else 1
    put((word, unpack(word, 1)[0] + sign * (low & _DIGIT)))
    put((word + 8, unpack(word + 8, 1)[0] + sign * ((low >> 32) + (high & _DIGIT))))
    put((word + 16, unpack(word + 16, 1)[0] + sign * (high >> 32)))


@device
def _carry(words: int, sign: int) -> int:
    """Make every word a digit of sign * the number; returns what goes out at the top."""
    carry = 0
    for i in range(_WORDS):
        total = sign * unpack(words + 8 * i, 1)[0] + carry
        carry = total >> 32
        put((words + 8 * i, total & _DIGIT))
    return carry


@device
def _float64(words: int, negative: int) -> int:
    """The digits' float64, cut, its last bit set where something was lost."""
    top = _WORDS - 1
    while top >= 0 and unpack(words + 8 * top, 1)[0] == 0:
        top -= 1
    if top < 0:
        return 0
    high = unpack(words + 8 * top, 1)[0]
    width = 0
    while high >> width:
        width += 1
    # 53 bits from here on, at most three digits
    last = 32 * top + width - 53
    kept, rest = 0, 0
    for i in range(top + 1):
        digit, place = unpack(words + 8 * i, 1)[0], 32 * i - last
        if place >= 0:
            kept |= digit << place
        elif place > -32:
            kept |= digit >> -place
            rest |= digit & ((1 << -place) - 1)
        else:
            rest |= digit
    if rest:
        kept |= 1
    return (negative << 63) | ((last + 52 + _LOWEST + 1023) << 52) | (kept & _FRACTION)


@device
def exact_sum(a: int, b: int, acc: int, steps: int, words: int) -> int:
    """acc + the products of one output, as float64 bits rounded to odd; all of it is finite.

    a, b, acc are addresses of the output's first operands and of its accumulator.
    """
    for i in range(_WORDS):
        put((words + 8 * i, 0))
    _add_product(words, unpack(acc, 1)[0], 1023 << 52)
    for k in range(steps):
        _add_product(words, unpack(a + k * A_BYTES, 1)[0], unpack(b + k * B_BYTES, 1)[0])
    if _carry(words, 1) < 0:
        _carry(words, -1)
        # the digits were those of the number plus 2^(32 * words)
        return _float64(words, 1)
    return _float64(words, 0)
