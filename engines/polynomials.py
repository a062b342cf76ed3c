"""Float64 lanes from which the functions are made: polynomials, limits, signs."""

from collections.abc import Sequence

from halfulp.dtypes.lanes import F32, F64, I64, Lanes

ROUNDER = 1.5 * 2.0**52  # adding it leaves the nearest integer in the low bits
_SHORT = 10  # terms
MAGNITUDE64 = 0x7FFFFFFFFFFFFFFF
SIGN64 = 1 << 63


def polynomial(coefficients: Sequence[float], x: Lanes) -> Lanes:
    """Estrin's form: pairs first, a shorter chain than Horner's, which a short one can bear."""
    if len(coefficients) <= _SHORT:
        total = x.like(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            total = total.fma(x, x.like(coefficient))
        return total
    terms: list[Lanes] = []
    for i in range(0, len(coefficients), 2):
        term = x.like(coefficients[i])
        last = i + 1 == len(coefficients)
        terms.append(term if last else x.fma(coefficients[i + 1], term))
    while len(terms) > 1:
        x = x * x
        paired = [terms[i + 1].fma(x, terms[i]) for i in range(0, len(terms) - 1, 2)]
        terms = paired + terms[len(paired) * 2 :]
    return terms[0]


def two_chains(coefficients: Sequence[float], x: Lanes) -> Lanes:
    """Horner's form of the even and of the odd terms, side by side: one product more than of all.

    For loops whose turns do not wait for each other: there products count, and chains do not.
    """
    square, sums = x * x, []
    for own in (coefficients[0::2], coefficients[1::2]):
        total = x.like(own[-1])
        for coefficient in reversed(own[:-1]):
            total = total.fma(square, x.like(coefficient))
        sums.append(total)
    return sums[1].fma(x, sums[0])


def reciprocal(d: Lanes) -> Lanes:
    """1 / d to 2^-45, of a d that is a normal float32 nearly: one float32 division, one step."""
    q = (d.convert("fptrunc", F32).like(1.0) / d.convert("fptrunc", F32)).convert("fpext", F64)
    return q.fma(q.fma(d * -1.0, q.like(1.0)), q)


def clamp(x: Lanes, limit: float) -> Lanes:
    """Into [-limit, limit]; NaN passes, since ordered comparisons with it are false."""
    x = (x > limit).where(x.like(limit), x)
    return (x < -limit).where(x.like(-limit), x)


def magnitude(x: Lanes) -> Lanes:
    """|x|."""
    return (x.bits(I64) & MAGNITUDE64).bits(F64)


def signed_like(y: Lanes, x: Lanes) -> Lanes:
    """|y| with the sign of x."""
    return ((y.bits(I64) & MAGNITUDE64) | (x.bits(I64) & SIGN64)).bits(F64)


def above_half(x: Lanes, y: Lanes) -> Lanes:
    """y, a function x/2 + c x^2 ... with c > 0, of x so near zero that float64 holds x/2 alone.

    Of a subnormal x that is a tie; the step to the side of the true value decides it.
    """
    tiny = (magnitude(x) < 2.0**-60) & x.differs_from_number(x.like(0.0))
    half = x * 0.5
    side = half.bits(I64) + (x > 0.0).where(half.bits(I64).like(1), -1)
    return tiny.where(side.bits(F64), y)
