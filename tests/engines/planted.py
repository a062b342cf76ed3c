"""Faults planted by hand in the kernels of any accumulation, and the default tests that find each.

As `tests.dtypes.planted` has those of the casts; `test_planted.py` plants them.
"""

from tests.planting import Planted, named


def _paths(test: str, *cases: str) -> tuple[str, ...]:
    return named("engines/test_accumulated_paths.py", f"test_{test}", *cases)


def _shapes(test: str, *cases: str) -> tuple[str, ...]:
    return named("engines/test_accumulated_shapes.py", f"test_{test}", *cases)


_NARROW, _WIDE = "chains_in_float32_are_exact", "chains_in_float64_are_exact"
_ALIGNED = "aligned_sums_are_exact"
_EVEN = _paths(_NARROW, "bf16-nearest_even-3", "fp16-nearest_even-4")
_CHAIN = _paths(_NARROW, "fp32-nearest_even-1")
_LOST = named("engines/test_twice.py", "test_a_sum_lost_in_the_product_is_rounded_once", "bf16")
_HOLDS = named(
    "engines/test_twice.py", "test_a_sum_that_holds_a_tie_beside_the_product_goes_another_way"
)
_ENTERS = named("engines/test_twice.py", "test_what_enters_may_be_any_number", "bf16")
_FLOAT64 = _paths(_WIDE, "fp32-toward_positive", "fp16-nearest_even")
_COARSE = _paths(_ALIGNED, "3-toward_zero-block-4-None")
_DOWN = _paths(_ALIGNED, "3-toward_negative-late-4-2")
_NEAREST = _paths(_ALIGNED, "3-nearest_even-block-4-None")
_FLAG = named("engines/test_environment.py", "test_the_flag_tells_what_is_not_exact")
_SUMS = _paths("exact_sums_that_no_float64_holds", "nearest_even", "toward_negative")
_LANES = "what_is_not_finite_stays_in_its_lane"
_OPERANDS = _paths(_LANES, "sequential-toward_zero-first-operand")
_FAINT = _paths("products_below_float32_are_told_in_float64")
_TREES = _shapes("trees_of_every_count", "late")
_JOINS = _shapes("chains_meet_as_declared", "sequential-sequential", "sequential-pairwise")
_CHAINED = _shapes("chains_meet_as_declared", "sequential-chained", "fused-chained")
_LIMITS = "integer_accumulators_meet_their_limits"
_SIZES = _shapes("every_size_of_a_block", "127-stochastic", "129-integers")
_BATCHES = _shapes("every_layout_and_batch", "float32", "stochastic", "integers")
_PSUM = _shapes("chains_meet_as_declared", "fused-sequential")

PLANTED = (
    Planted(
        "a sum forgets what it lost", "wide.py",
        "self._rounded(bits | left, vector, bits)", "self._rounded(bits, vector, bits)", _FLOAT64,
    ),
    Planted(
        "an infinity has something below it", "wide.py",
        "x = ((bits & MAGNITUDE64) >= INF64).where(bits, odd)", "x = odd", _FLOAT64,
    ),
    Planted(
        "each end overflows as the other", "wide.py",
        'parts.negative.differs(0).where(given["over_minus"]',
        'parts.negative.equals(0).where(given["over_minus"]', _FLOAT64,
    ),
    Planted(
        "the largest number overflows", "wide.py",
        '(result > given["max"])', '(result >= given["max"])', _FLOAT64,
    ),
    Planted(
        "tiny is judged with the places of subnormals", "wide.py",
        'given | {"emin": x.like(-1022)}', "given", _FLOAT64,
    ),
    Planted(
        "tiny is judged before rounding", "wide.py",
        "(_units(free, given, noise) < smallest)", "(parts.magnitude < smallest)", _FLOAT64,
    ),
    Planted(
        "E forgets the accumulator", "steps.py",
        'own = [_power(x, self.given["tiny_power"]) for x in acc]',
        "own = [x.like(ZERO_POWER) for x in acc]", _COARSE,
    ),
    Planted(
        "a block's E has no floor", "steps.py",
        "[_larger(power, floor) for power in self._largest(acc)]", "self._largest(acc)", _DOWN,
    ),
    Planted(
        "the last block is as long as the others", "steps.py",
        'builder.select(builder.icmp_signed("<", left, block), left, block)', "block", _COARSE,
    ),
    Planted(
        "negative terms are cut toward minus infinity", "steps.py",
        "magic = (magic.bits(I64) | sign).bits(F64)", "pass", _COARSE,
    ),
    Planted(
        "the accumulator is not cut", "steps.py",
        "start = [self._cut(x, m) for x, m in zip(acc, magic, strict=True)]", "start = list(acc)",
        _COARSE,
    ),
    Planted(
        "sums of terms that are nearest are cut", "steps.py",
        'fused_to_nearest = native("halfulp_fused_to_nearest", 7,',
        'fused_to_nearest = _cutting("halfulp_fused_to_nearest", 7,', _NEAREST,
    ),
    Planted(
        "the losses of products are forgotten", "steps.py",
        "sums += [x | y for x, y in zip(loop.sums[len(acc) :], losses, strict=True)]",
        "sums += loop.sums[len(acc) :]", _SUMS,
    ),
    Planted(
        "a lane that is not finite takes its neighbors along", "steps.py",
        "[self._tame(power).where(total, other) for power, total, other in plain]",
        "[other for _, _, other in plain]",
        _paths(_LANES, "fused-toward_zero-block-canonical"),
    ),
    Planted(
        "saturation after a sum that wraps", "integer_steps.py",
        'total.call("sadd.sat", product) if saturate else total + product', "total + product",
        _shapes(_LIMITS, "step-saturate-64"),
    ),
    Planted(
        "a tie does not ask what was lost", "narrow.py",
        '(bits & given["place"]) | _lost(a, b, acc, total)', '(bits & given["place"])', _EVEN,
    ),
    Planted(
        "a tie without its parity", "narrow.py",
        '(bits & given["place"]) | _lost(a, b, acc, total)', "_lost(a, b, acc, total)", _EVEN,
    ),
    Planted(
        "one row is asked for all", "narrow.py",
        'functools.reduce(lambda x, y: x.call("umax", y), above)', "above[-1]",
        _paths("a_block_asks_every_row_and_column_what_is_not_ordinary", "fp16-nearest_even"),
    ),
    Planted(
        "small sums are not looked at", "twice.py",
        '(smallest >= least).reduce("and")', 'least.equals(least).reduce("and")', _LOST,
    ),
    Planted(
        "what enters is not looked at", "twice.py",
        "builder.cbranch(_may_enter(sums, given), some, end)", "builder.branch(some)", _ENTERS,
    ),
    Planted(
        "sums eight times too small are let through", "wide_parameters.py",
        "products.top - 24", "products.top - 27", _LOST,
    ),
    Planted(
        "a sum may have all bits but a product's", "wide_parameters.py",
        "2 * q < 24 and together <= 24", "together <= 24", _HOLDS,
    ),
    Planted(
        "the halves of a word are alike", "wide_packing.py",
        "[word, word << 16]", "[word, word]", _SIZES,
    ),
    Planted(
        "a chain rounds its products", "narrow.py",
        "[x.fma(y, total) for x, total in zip(rows, totals, strict=True)]",
        "[x * y + total for x, total in zip(rows, totals, strict=True)]", _CHAIN,
    ),
    Planted(
        "a sum that float64 has rounded is taken for exact", "accumulate_chains.py",
        "if unpack(found, 1)[0] == 0:", "if True:", _SUMS,
    ),
    Planted(
        "another flag is asked for", "inexact.py",
        "_ARM_INEXACT = 1 << 5", "_ARM_INEXACT = 1 << 3", _SUMS,
    ),
    Planted(
        "flags are left from before", "inexact.py",
        "builder.store(I32(X86_DEFAULT), fresh)",
        "builder.store(builder.load(_at(builder, kept, I32)), fresh)", _FLAG,
    ),
    Planted(
        "a product has the sign of its first factor", "exact_sums.py",
        "-1 if (x ^ y) < 0 else 1", "-1 if x < 0 else 1", _SUMS,
    ),
    Planted(
        "what lies below 53 bits is forgotten", "exact_sums.py",
        "        kept |= 1\n", "        kept |= 0\n", _SUMS,
    ),
    Planted(
        "a product's third digit is lost", "exact_sums.py",
        "unpack(word + 16, 1)[0] + sign * (high >> 32)", "unpack(word + 16, 1)[0]", _SUMS,
    ),
    Planted(
        "a negative sum is not turned", "exact_sums.py",
        "        _carry(words, -1)\n", "", _SUMS,
    ),
    Planted(
        "blocks of columns draw alike", "accumulate.py",
        "output + m * ROWS * width + n, width", "output + m * ROWS * width, width", _SIZES,
    ),
    Planted(
        "the products of a batch draw alike", "accumulate.py",
        "out_stride, height, width, item * height * width,", "out_stride, height, width, 0,",
        _BATCHES,
    ),
    Planted(
        "trees and chains meet alike", "accumulate.py",
        "if join == PAIRED:", "if join == APART:", _JOINS,
    ),
    Planted(
        "the accumulator input is forgotten at the end", "accumulate.py",
        "leaves, first, pitch = 0, 0, 0, 1 - has_input,", "leaves, first, pitch = 0, 0, 0, 1,",
        _PSUM,
    ),
    Planted(
        "what leaves a tile is rounded as inside", "accumulate.py",
        "add((psum, total, psum, given_psum,", "add((psum, total, psum, how[0],", _PSUM,
    ),
    Planted(
        "an odd number of sums loses the last", "accumulate_chains.py",
        "    while held > 1:\n        left = stack + (held - 2) * BLOCK_BYTES\n",
        "    while held > 2:\n        left = stack + (held - 2) * BLOCK_BYTES\n", _JOINS,
    ),
    Planted(
        "a tile's sum goes on from the one before", "accumulate_integers.py",
        "            zero_block((own,))\n", "", _shapes(_LIMITS, "tile-wrap-18"),
    ),
    Planted(
        "every block of rows has the first one's input", "accumulate_integers.py",
        "c + item * c_step + m * ROWS * c_stride + n * 8", "c + item * c_step + n * 8",
        _shapes(_LIMITS, "end-wrap-32"),
    ),
    Planted(
        "neighbors part", "schedule.py",
        "members[(k - start) // run % chains]", "members[(k - start) % chains]", _CHAINED,
    ),
    Planted(
        "only a tile's first chain starts from zero", "schedule.py",
        "FRESH if ends and (apart or index == 0) else 0", "FRESH if ends and index == 0 else 0",
        _JOINS,
    ),
    Planted(
        "blocks go on into the next chain", "schedule.py",
        "return accumulation.order is Order.SEQUENTIAL", "return True",
        _shapes("chains_meet_as_declared", "fused-chained"),
    ),
    Planted(
        "a check at each tile comes at the end", "schedule.py",
        'return held.checked != "tile"', "return True", _shapes(_LIMITS, "tile-saturate-16"),
    ),
    Planted(
        "operands are sorted only where the first moves", "wide_operands.py",
        "(order[1:] < order[:-1]).any()", "len(order) and order[0]", _CHAINED,
    ),
    Planted(
        "every product of a batch has a matrix of its own", "wide_operands.py",
        "return Laid(laid, not lead)", "return Laid(laid, False)", _BATCHES,
    ),
    Planted(
        "the smallest operand is taken for its last place", "wide_operands.py",
        "max((found.smallest >> 23) - 127 - fmt.mantissa_bits, lowest)",
        "max((found.smallest >> 23) - 127, lowest)", _FAINT,
    ),
    Planted(
        "inputs are flushed where results are", "wide_operands.py",
        "if how.flushes_inputs else", "if how.flushes_results else", _FLOAT64,
    ),
    Planted(
        "b's NaN goes before a's", "result_nans.py",
        "both = np.where(left, left, right)", "both = np.where(right, right, left)", _OPERANDS,
    ),
    Planted(
        "the first NaN stays", "result_nans.py",
        "last = there.shape[1] - 1 - there[:, ::-1].argmax(1)", "last = there.argmax(1)",
        _OPERANDS,
    ),
    Planted(
        "a NaN stays signaling", "result_nans.py",
        "bits & ~below | np.uint32(_QUIET)", "bits & ~below", _OPERANDS,
    ),
    Planted(
        "a zero has an exponent", "wide_packing.py",
        "power = (bits << 1).equals(0).where(power.like(ZERO_POWER), power)", "pass", _COARSE,
    ),
    Planted(
        "a subnormal operand has an exponent below its format's", "wide_packing.py",
        "power = (field > tiny).where(field, tiny).bits(F64)", "power = field.bits(F64)", _COARSE,
    ),
    Planted(
        "a NaN leaves with the bits that it has", "wide_packing.py",
        "x.is_nan().where(bits.like(NAN32), bits)", "bits",
        _paths(_LANES, "fused-toward_zero-block-canonical"),
    ),
    Planted(
        "rows number their outputs from the row after", "wide_packing.py",
        "builder.mul(width, I64(row))", "builder.mul(width, I64(row + 1))", _SIZES,
    ),
    Planted(
        "every grid is the one of signed cuts", "wide_parameters.py",
        "how.order is Order.EXACT or how.cut is Rounding.TOWARD_ZERO", "True", _DOWN,
    ),
)  # fmt: skip
