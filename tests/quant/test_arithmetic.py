"""No floating-point arithmetic of torch or numpy stands between a model and its results."""

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from halfulp.engines import NEURONCORE_V2
from halfulp.quant import emulate, movement, named_policy
from tests.quant.tiny import ARCHITECTURES, inputs, tiny

SOURCES = sorted((Path(__file__).parents[2] / "quant").glob("*.py"))
#: Functions whose bits change with the machine, or whose order of addition nobody promises.
FORBIDDEN = {
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "tanh", "sin", "cos", "erf", "pow"),
    *("matmul", "dot", "vdot", "inner", "einsum", "tensordot", "mean", "var", "std", "softmax"),
    *("sum", "cumsum", "sqrt", "power", "linear", "addmm", "mm", "bmm", "gelu", "sigmoid"),
}
NUMERIC = ("np", "numpy", "torch", "math", "F")


def calls(tree: ast.AST) -> set[str]:
    """Functions of a numeric module that are called, and methods of that name on anything."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            found.add("@")
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner, name = node.func.value, node.func.attr
        module = isinstance(owner, ast.Name) and owner.id in NUMERIC
        engine = isinstance(owner, ast.Attribute) or (
            isinstance(owner, ast.Name) and owner.id in ("vector", "products", "F")
        )
        if name in FORBIDDEN and (module or not engine):
            found.add(name)
    return found


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_source_calls_a_function_of_uncertain_bits(source: Path) -> None:
    assert calls(ast.parse(source.read_text(encoding="utf-8"))) <= {"sqrt"}


def test_the_only_square_root_is_of_a_python_number() -> None:
    # math.sqrt is IEEE 754's and rounds correctly everywhere
    users = {path.name for path in SOURCES if "sqrt" in calls(ast.parse(path.read_text()))}
    assert users == {"attention.py"}
    assert "math.sqrt(" in (SOURCES[0].parent / "attention.py").read_text()


@pytest.mark.parametrize(
    "text", ["np.exp(x)", "torch.matmul(a, b)", "a @ b", "x.sum()", "torch.sqrt(x)", "x.mean(1)"]
)
def test_the_search_finds_what_it_is_for(text: str) -> None:
    assert calls(ast.parse(text))


class Below(TorchDispatchMode):
    """Sees what reaches torch from inside the handlers of the emulation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        values = [v for v in (*args, result) if isinstance(v, torch.Tensor)]
        if any(value.is_floating_point() for value in values):
            self.seen.add(func.overloadpacket.__name__)
        return result


#: Composites that move data and show themselves in inference mode, beside what the product moves.
SHAPES = {"item", "to", "_to_copy", "reshape", "resolve_conj", "resolve_neg"}
ALLOWED = movement.VIEWS | movement.COPIES | movement.FACTORIES | movement.COMPARISONS | SHAPES
POLICIES = ("fp32", "bf16-matmult", "e4m3-all", "e4m3-all-scaled", "int8-matmult")


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_torch_only_moves_the_floats_of_a_model(architecture: str, attention: str) -> None:
    model = tiny(architecture, attention)
    for policy in POLICIES:
        for mode in (torch.no_grad, torch.inference_mode):
            below = Below()
            with mode(), below, emulate(model, NEURONCORE_V2, named_policy(policy)):
                model(**inputs())
            assert below.seen <= ALLOWED
            assert below.seen & {"view", "_unsafe_view"}


def test_torch_does_arithmetic_without_the_emulation() -> None:
    below = Below()
    with torch.no_grad(), below:
        tiny("BertModel")(**inputs())
    assert {"addmm", "gelu", "native_layer_norm", "add"} <= below.seen
