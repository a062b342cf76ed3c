"""Costs of instructions are those that are documented; every instruction has one."""

import re
from pathlib import Path

import pytest

from halfulp.engines import INFERENTIA1, INFERENTIA2, Record
from halfulp.engines.costs import Inputs, Step, steps
from halfulp.engines.instructions import Issue, MultiplyMoving, cycles, product
from halfulp.engines.specs import SPEC_V1, SPEC_V2

ENGINES = Path(__file__).parents[2] / "engines"


def record(engine: str, instruction: str, *shapes: tuple[int, ...]) -> Record:
    return Record("", engine, instruction, shapes, ("fp32",) * len(shapes), 0, 0, 0, 0, 0, 0)


def vector(instruction: str, *shapes: tuple[int, ...], **inputs: bool) -> int:
    (step,) = steps(record("vector", instruction, *shapes), Inputs(**inputs))
    assert step.engine == "vector"
    return step.cycles


@pytest.mark.parametrize(
    ("rows", "depth", "columns", "passes", "expected"),
    [
        (128, 128, 512, 1, 512),
        (128, 128, 512, 4, 2048),
        (128, 128, 1, 1, 64),
        (128, 128, 1, 4, 256),
        (128, 128, 64, 1, 64),
        (128, 128, 65, 1, 65),
    ],
)
def test_one_product(rows: int, depth: int, columns: int, passes: int, expected: int) -> None:
    issue = Issue(MultiplyMoving(depth, rows, columns, passes), 1)
    assert cycles((issue,)) == expected


def test_a_product_of_several_tiles_takes_the_cheaper_way() -> None:
    # 8 tiles of K; 2 of the stationary side, 300 columns that move, or 3 and 256
    assert cycles(product(256, 1024, 300)) == min(8 * 2 * 300, 8 * 3 * 256)


#: N = 300 elements of each of 128 partitions.
FULL = (128, 300)


@pytest.mark.parametrize(
    ("instruction", "shapes", "expected"),
    [
        ("tensor_tensor", (FULL, FULL, FULL), 600),
        ("tensor_scalar", (FULL, FULL), 300),
        ("tensor_copy", (FULL, FULL), 300),
        ("nc_stream_shuffle", (FULL, FULL), 300),
        ("nc_transpose", (FULL, (300, 128)), 300),
        ("tensor_reduce", (FULL, (128,)), 300),
        ("reciprocal", (FULL, FULL), 2400),
        ("tensor_tensor_scan", (FULL, FULL, FULL), 600),
        ("bn_stats", (FULL, (128, 6)), 300),
        ("bn_aggr", (FULL, (128, 2)), 1300),
        ("max8", (FULL, (128, 8)), 300),
        # bn_stats 300, bn_aggr of six 64, one pass 300, gamma and beta 600 each
        ("layernorm", (FULL, (300,), (300,), FULL), 300 + 64 + 300 + 1200),
    ],
)
def test_what_a_vector_instruction_takes(
    instruction: str, shapes: tuple[tuple[int, ...], ...], expected: int
) -> None:
    found = steps(record("vector", instruction, *shapes))
    assert found[0] == Step("vector", expected)


def test_operands_of_psum_or_of_16_bits_go_at_full_rate() -> None:
    for inputs in ({"psum": True}, {"narrow": True}):
        assert vector("tensor_tensor", FULL, FULL, FULL, **inputs) == 300
    assert vector("tensor_reduce", FULL, (128,), narrow=True) == 150


def test_nothing_takes_less_than_64_cycles() -> None:
    one = (1, 1)
    for name in ("tensor_tensor", "tensor_scalar", "tensor_copy", "tensor_reduce", "reciprocal"):
        assert vector(name, one, one, one) == 64
    assert steps(record("scalar", "activation(exp)", one, one)) == (Step("scalar", 64),)


def test_an_activation_and_its_sum() -> None:
    assert steps(record("scalar", "activation(gelu)", FULL, FULL)) == (Step("scalar", 300),)
    with_sum = record("scalar", "activation_reduce(exp)", FULL, FULL, (128,))
    assert steps(with_sum) == (Step("scalar", 364),)


def test_rows_beyond_128_come_one_tile_after_the_other() -> None:
    for rows, tiles in ((1, 1), (128, 1), (129, 2), (256, 2)):
        found = steps(record("vector", "softmax", (rows, 200), (rows, 200)))
        # scale and mask, maximum, 8 cycles at least 64 for the reciprocal, product
        assert found == (
            Step("vector", tiles * (200 + 200 + 64 + 200)),
            Step("scalar", tiles * (200 + 64)),
        )


def test_a_long_row_is_described_in_chunks_of_512() -> None:
    (first, _) = steps(record("vector", "layernorm", (128, 1100), (1100,), (1100,), (128, 1100)))
    statistics = 512 + 512 + 76 + 13 * 18 // 3
    assert first.cycles == statistics + 1100 + 2 * 2 * 1100


def test_gpsimd_starts_late() -> None:
    assert steps(record("gpsimd", "iota", (128, 512))) == (Step("gpsimd", 150 + 512),)


def test_dma_takes_no_cycles() -> None:
    assert steps(record("dma", "gather", (9, 9), (3,), (3, 9))) == ()


def test_every_instruction_that_the_engines_record_has_a_cost() -> None:
    written = re.compile(r'write_record\(\s*"(\w+)"|record\("vector", "(\w+)"')
    names = {
        name
        for path in ENGINES.glob("vector*.py")
        for found in written.findall(path.read_text(encoding="utf-8"))
        for name in found
        if name
    }
    assert {"tensor_tensor", "softmax", "layernorm", "bn_stats", "pool"} <= names
    for name in sorted(names):
        assert steps(record("vector", name, (4, 6), (4, 6), (4, 6)))


def test_an_unknown_instruction_is_no_free_one() -> None:
    with pytest.raises(KeyError):
        steps(record("vector", "unheard_of", FULL))


def test_the_array_and_its_clock_give_the_guide_s_peak_not_the_data_sheet_s() -> None:
    assert round(SPEC_V2.ops_per_s / 1e12, 2) == 91.75
    assert INFERENTIA2.half.tera / INFERENTIA2.cores == 95
    assert SPEC_V1.ops_per_s == 16e12 == INFERENTIA1.half.ops_per_s / INFERENTIA1.cores
    assert SPEC_V1.tensor_clock.is_assumed and not SPEC_V2.tensor_clock.is_assumed


def test_cycles_as_seconds() -> None:
    assert SPEC_V2.seconds(Step("tensor", 512)) == 512 / 2.8e9
    assert SPEC_V2.seconds(Step("vector", 112)) == 112 / 1.12e9
    assert SPEC_V2.seconds(Step("scalar", 14)) == 14 / 1.4e9
    # twice as many lanes
    assert SPEC_V1.seconds(Step("vector", 100)) == 50 / 1e9
    with pytest.raises(ValueError, match="NeuronCore-v1 has no GPSIMD"):
        SPEC_V1.seconds(Step("gpsimd", 1))
