"""Philox-4x32-10 for whole arrays (Salmon et al., "Parallel random numbers", SC 2011)."""

from llvmlite import ir

from halfulp.dtypes.lanes import I32, I64, Lanes, splat, store
from halfulp.dtypes.natives import native

GROUP = 64  # words whose places belong together: four of each of 16 blocks
PAIR = 2 * GROUP  # words that are made together: one group alone leaves the processor waiting
_BLOCKS = 32
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF


def rounds(counter: list[Lanes], key: list[Lanes]) -> list[Lanes]:
    """Ten rounds; 32-bit words in 64-bit lanes, as their products need the room.

    The upper halves hold anything: only the lower ones go into a product, or out.
    """
    x0, x1, x2, x3 = counter
    for _ in range(10):
        first, second = (x0 & _LOW) * _MULTIPLIERS[0], (x2 & _LOW) * _MULTIPLIERS[1]
        x0, x2 = (second >> 32) ^ x1 ^ key[0], (first >> 32) ^ x3 ^ key[1]
        x1, x3 = second, first
        key = [part + step for part, step in zip(key, _KEY_STEPS, strict=True)]
    return [x0, x1, x2, x3]


def _half(lanes: Lanes, half: int) -> Lanes:
    count = lanes.count // 2
    numbers = [I32(half * count + lane) for lane in range(count)]
    mask = ir.Constant(ir.VectorType(I32, count), numbers)
    builder = lanes.builder
    return Lanes(builder, builder.shuffle_vector(lanes.value, lanes.value, mask))


def _build(function: ir.Function) -> None:
    target, group, pairs, seed, step, drop = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    entry = builder.block
    names = ("head", "loop", "end")
    head, loop, end = (builder.append_basic_block(name) for name in names)

    def words(value: ir.Value) -> list[Lanes]:
        both = Lanes(builder, splat(builder, value, _BLOCKS))
        return [both & _LOW, both >> 32]

    key, steps = words(seed), words(step)
    unwanted = Lanes(builder, splat(builder, drop, _BLOCKS))
    numbers = ir.Constant(ir.VectorType(I64, _BLOCKS), [I64(lane) for lane in range(_BLOCKS)])
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(I64)
    index.add_incoming(I64(0), entry)
    builder.cbranch(builder.icmp_signed("<", index, pairs), loop, end)
    builder.position_at_end(loop)
    first = builder.mul(builder.add(group, builder.shl(index, I64(1))), I64(_BLOCKS // 2))
    block = Lanes(builder, splat(builder, first, _BLOCKS)) + Lanes(builder, numbers)
    for word, lanes in enumerate(rounds([block & _LOW, block >> 32, *steps], key)):
        wanted = ((lanes & _LOW) >> unwanted).convert("trunc", I32)
        for half in (0, 1):
            offset = I64(4 * (half * GROUP + _BLOCKS // 2 * word))
            place = builder.add(builder.mul(index, I64(4 * PAIR)), offset)
            store(builder, _half(wanted, half), builder.add(target, place))
    index.add_incoming(builder.add(index, I64(1)), builder.block)
    builder.branch(head)
    builder.position_at_end(end)
    builder.ret_void()


# philox((target, first group, pairs of groups, seed, step, drop)): PAIR words a pair at the address
# `target`, without their `drop` lowest bits
philox = native("halfulp_philox", 6, _build)
