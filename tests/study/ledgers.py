"""Ledgers to be written: of real runs, and any."""

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

from halfulp.engines import (
    NEURONCORE_V2,
    Activation,
    Ledger,
    Parameter,
    Record,
    custom_op,
    recording,
)
from halfulp.engines.custom_op import CustomCall
from halfulp.engines.instructions import Issue, LoadStationary, MultiplyMoving
from halfulp.quant import emulate, named_policy

MOST = 2**63 - 1
CALL: Any = CustomCall("pair", 7)
#: With every field set, and each to another value.
EVERY = Record(
    "enc.0.query", "tensor", "nc_matmul", ((2, 3), (3, 4), ()), ("bf16", "e4m3", "fp32"),
    24, 68, 1, 2, 3, 4, 64,
    (Issue(LoadStationary(3, 4), 5), Issue(MultiplyMoving(6, 7, 8, 4), 9), Issue(CALL, 10)),
    11, 12, "fp32", (0, 13), (Parameter("query.weight", 14), Parameter("query.bias", 15)),
)  # fmt: skip

counts = st.sampled_from((0, 1, 2**53 + 1, MOST)) | st.integers(0, MOST)
# commas, quotes, ends of lines and what looks like a number or like JSON is what CSV may stumble at
texts = st.sampled_from(
    ("", "a,b", '"', "\r", "\n", "\r\n", "0", " 1 ", "[]", "\0", "é☃🂡")
) | st.text(st.characters(codec="utf-8"))
calls: st.SearchStrategy[Any] = st.builds(CustomCall, texts, counts)
instructions = (
    st.builds(LoadStationary, counts, counts, counts)
    | st.builds(MultiplyMoving, counts, counts, counts, counts)
    | calls
)


def _tuples(one: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(one, max_size=3).map(tuple)


_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "shapes": _tuples(_tuples(counts)),
    "formats": _tuples(texts),
    "issued": _tuples(st.builds(Issue, instructions, counts)),
    "needs": _tuples(counts),
    "parameters": _tuples(st.builds(Parameter, texts, counts)),
    **dict.fromkeys(("layer", "engine", "instruction", "accumulator"), texts),
}
records = st.builds(Record, **{name: _FIELDS.get(name, counts) for name in Record._fields})
ledgers = st.lists(records, max_size=4).map(lambda given: ledger_of(*given))


def ledger_of(*given: Record) -> Ledger:
    ledger = Ledger()
    ledger.records = list(given)
    return ledger


def real_ledger() -> Ledger:
    """Of every engine, of a custom operator with a cost, and of a model on the meta device."""
    model = nn.Sequential(nn.Linear(6, 5, device="meta"), nn.LayerNorm(5, device="meta")).eval()
    with emulate(model, NEURONCORE_V2, named_policy("bf16-matmult")) as emulation:
        model(torch.empty(4, 6, device="meta"))

    @custom_op(inputs=["bf16"], output="bf16", shape=lambda x: x, cost=lambda x: 7)
    def same(x: Any) -> Any:
        return x

    core = NEURONCORE_V2
    with recording(emulation.ledger) as ledger:
        ledger.layer = "by hand"
        product = core.tensor.matmul(np.ones((3, 200)), np.ones((200, 40)), a_format="bf16")
        core.scalar.activation(core.vector.softmax(product), Activation.EXP)
        core.dma.gather(product, [2, 0])
        same(product)
    assert {record.engine for record in ledger.records} == {
        *("tensor", "vector", "scalar", "gpsimd", "dma")
    }
    return ledger


def plainly(value: Any) -> Any:
    """With every type beside its value: 1, True and np.int64(1) are equal."""
    parts = tuple(map(plainly, value)) if isinstance(value, tuple) else value
    return type(value), parts


def same(found: Ledger, wanted: Ledger) -> bool:
    """The same records, types too."""
    return list(map(plainly, found.records)) == list(map(plainly, wanted.records))


#: Lists that are empty are another case than lists that are not.
BARE = EVERY._replace(shapes=(), formats=(), issued=(), needs=(), parameters=())
SOME = ledger_of(EVERY, BARE, EVERY._replace(macs=MOST, layer='a "b",\r\nc'))
