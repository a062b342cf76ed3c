"""No result comes from arithmetic whose bits change with the machine.

numpy's and torch's exp, log, tanh, sums and products differ between processors, as do those of libm
behind Python's math and LLVM's intrinsics. What computes results may use the kernels, and of the
others only what IEEE 754 fixes or what moves bits. The tree is read, not run: arithmetic by
operators on tensors cannot be seen, so torch's functions are allowed by name; none computes.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tree import ROOT, product_files

#: Layers whose values are results; study only runs them and counts.
LAYERS = ("dtypes", "engines", "quant")

NUMPY = frozenset(
    """
    exp exp2 expm1 log log2 log10 log1p logaddexp logaddexp2 power float_power pow cbrt hypot sqrt
    reciprocal sin cos tan arcsin arccos arctan arctan2 asin acos atan atan2 sinh cosh tanh arcsinh
    arccosh arctanh asinh acosh atanh sinc i0 unwrap deg2rad rad2deg degrees radians angle
    matmul matvec vecmat vecdot dot vdot inner outer kron einsum einsum_path tensordot cross
    convolve correlate trace sum nansum mean nanmean average prod nanprod cumsum cumprod
    cumulative_sum cumulative_prod std var nanstd nanvar median quantile percentile cov corrcoef
    gradient trapezoid interp polyfit polyval linalg fft random polynomial emath
    add subtract multiply divide true_divide floor_divide modf
    """.split()
)
#: They move, make or describe.
TORCH = frozenset(
    """
    Tensor Size dtype device strided layout from_numpy as_tensor empty empty_like
    uint8 uint16 uint32 int8 int16 int32 int64 bool float16 float32 float64 bfloat16 complex64
    no_grad inference_mode is_grad_enabled is_inference_mode_enabled
    get_num_threads set_num_threads get_num_interop_threads
    autograd ops nn utils _C overrides __version__ is_tensor is_floating_point
    """.split()
)
#: In the casts by torch's integers and their operators: these choose, fill and count int64, and
#: `where` a gradient; `compiler` is asked whether it is at work.
TORCH_CASTS = frozenset(
    "where ones_like zeros_like full_like arange stack library compiler".split()
)
#: A type of torch by its name, and nothing else: what is found is looked at.
TYPES = frozenset(("dtypes/dtype_names.py", "dtypes/torch_ops.py"))
#: They judge results and give none: references that are not called so.
JUDGES = frozenset(
    f"dtypes/{name}.py"
    for name in ("binades", "conformance", "conformance_inputs", "draws", "exhaustive", "intervals")
)
#: IEEE 754 fixes sqrt, frexp and ldexp are exact; the others ask or count.
MATH = frozenset(
    "inf nan isnan isinf isfinite floor ceil trunc ldexp frexp copysign prod sqrt gcd comb".split()
)
#: Methods of arrays and tensors that compute in floats, by whatever library.
METHODS = frozenset(
    """
    exp expm1 log log1p log2 sin cos tan tanh sigmoid erf gelu relu silu softmax log_softmax sqrt
    rsqrt reciprocal pow square matmul mm bmm addmm baddbmm mv dot einsum tensordot sum mean std var
    norm cumsum prod add sub subtract mul multiply div divide true_divide addcmul addcdiv lerp
    layer_norm native_layer_norm scaled_dot_product_attention linear embedding
    """.split()
)
#: Receivers whose methods of these names are others: instructions of an engine, builders of LLVM
#: code, sets, and the one sum of integers.
ENGINES = frozenset(("tensor", "vector", "scalar", "dma"))
BUILDERS = frozenset(("builder", "attributes", "_checked"))
INTEGER_SUMS = frozenset((("engines/operands.py", "sum"),))
#: Words of a bit generator, which are integers and the same in every version of numpy.
RANDOM_WORDS = ["random", "PCG64"]
LANES = frozenset(("fma", "sqrt", "copysign", "umin", "umax", "smin", "smax", "sadd.sat"))
REDUCTIONS = frozenset(("add", "and", "umax"))  # of integers
LLVM = re.compile(
    r"llvm\.($|fma\.|vector\.reduce\.$|x86\.sse\.(st|ld)mxcsr|x86\.sse2\.pause|x86\.avx512\.vpdpbusd\.|aarch64\.)"
)
LIBRARIES = frozenset(
    ("scipy", "sklearn", "mpmath", "cmath", "statistics", "jax", "cupy", "numexpr")
)


def _chain(node: ast.AST) -> list[str]:
    """The names of a.b.c; what is no name stands as ""."""
    if isinstance(node, ast.Attribute):
        return [*_chain(node.value), node.attr]
    return [node.id] if isinstance(node, ast.Name) else [""]


def _member(module: str, name: str) -> str | None:
    """Why a member of a library may not be used."""
    if module == "numpy" and name in NUMPY:
        return f"numpy.{name}: its bits change with the processor, or could"
    if module == "torch" and name not in TORCH:
        return f"torch.{name} is not among what moves, makes or describes"
    if module == "math" and name not in MATH:
        return f"math.{name}: libm's bits change with the machine"
    return None


class _Reader(ast.NodeVisitor):
    """Collects (line, reason)."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.found: list[tuple[int, str]] = []
        self.modules = {"np": "numpy", "numpy": "numpy", "torch": "torch", "math": "math"}

    def _report(self, node: ast.AST, reason: str | None) -> None:
        if reason is not None:
            self.found.append((getattr(node, "lineno", 0), reason))

    def _library(self, node: ast.AST, name: str) -> None:
        root = name.split(".")[0]
        if root in LIBRARIES:
            self._report(node, f"{root} is no library for results")
        for first, second in zip(name.split("."), name.split(".")[1:], strict=False):
            self._report(node, _member(first, second))
        if name.startswith("torch.nn.functional"):
            self._report(node, "torch.nn.functional computes")

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._library(node, alias.name)
            if alias.name in ("numpy", "torch", "math"):
                self.modules[alias.asname or alias.name] = alias.name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._library(node, f"{node.module}.{alias.name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        names = _chain(node)
        module = self.modules.get(names[0])
        cast = self.place.startswith("dtypes/torch_") and names[1:] and names[1] in TORCH_CASTS
        if module == "numpy" and names[1:] == RANDOM_WORDS:
            return
        if module is not None and len(names) == 2 and not (module == "torch" and cast):
            self._report(node, _member(module, names[1]))
        if module == "torch" and names[1:3] == ["nn", "functional"]:
            self._report(node, "torch.nn.functional computes")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        names = _chain(node.func)
        if names[0] == "aten" or names[:2] == ["torch", "ops"]:
            self._report(node, f"{'.'.join(names)} is called: torch computes")
        if names == ["getattr"] and len(node.args) > 1:
            self._getattr(node)
        if len(names) > 1 and names[-1] in METHODS:
            self._method(node, names)
        if names[-1] == "call" and node.args and isinstance(node.args[0], ast.Constant):
            if node.args[0].value not in LANES:
                self._report(node, f"the intrinsic {node.args[0].value!r} is one of libm")
        if names[-1] == "reduce" and node.args and isinstance(node.args[0], ast.Constant):
            if node.args[0].value not in REDUCTIONS:
                self._report(node, f"reduce({node.args[0].value!r}) has no order of its own")
        for keyword in node.keywords:
            if keyword.arg in ("fastmath", "flags"):
                self._report(node, f"{keyword.arg}= lets the compiler change bits")
        self.generic_visit(node)

    def _getattr(self, node: ast.Call) -> None:
        module = self.modules.get(_chain(node.args[0])[0])
        if module is None or len(_chain(node.args[0])) > 1:
            return
        name = node.args[1]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            self._report(node, _member(module, name.value))
        elif not (module == "torch" and self.place in TYPES):
            self._report(node, f"a member of {module} by a name that cannot be read")

    def _method(self, node: ast.Call, names: list[str]) -> None:
        owner = names[-2]
        # an engine is reached through its core; a bare name may be a tensor
        engine = owner in ENGINES and (len(names) > 2 or owner == "vector")
        known = owner in BUILDERS or (self.place, names[-1]) in INTEGER_SUMS
        if not engine and not known and names[0] not in self.modules:
            self._report(node, f".{names[-1]}() of {owner or 'an expression'} computes in floats")

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self._operator(node, node.op, node.left)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._operator(node, node.op, node.target)
        self.generic_visit(node)

    def _operator(self, node: ast.AST, operator: ast.operator, left: ast.AST) -> None:
        if isinstance(operator, ast.MatMult):
            self._report(node, "@ adds in an order of the library's own")
        if isinstance(operator, ast.Pow) and not isinstance(left, ast.Constant):
            self._report(node, "** of what is no constant is libm's pow")

    def visit_Constant(self, node: ast.Constant) -> None:
        text = node.value
        if isinstance(text, str) and text.startswith("llvm.") and not LLVM.match(text):
            self._report(node, f"the intrinsic {text!r} is not known to be exact")


def offenses(source: str, place: str = "") -> list[str]:
    """What a source does that results may not depend on: 'line: reason'."""
    reader = _Reader(place)
    reader.visit(ast.parse(source))
    return [f"{line}: {reason}" for line, reason in sorted(set(reader.found))]


def result_paths() -> Iterator[Path]:
    for path in product_files():
        inside = any(path.is_relative_to(ROOT / layer) for layer in LAYERS)
        judges = path.name.startswith("reference") or str(path.relative_to(ROOT)) in JUDGES
        if inside and not judges:
            yield path


def test_nothing_in_a_result_path_depends_on_the_machine() -> None:
    paths = list(result_paths())
    assert len(paths) > 40 and {path.parent.name for path in paths} >= set(LAYERS)
    found = [
        f"{path.relative_to(ROOT)}:{offense}"
        for path in paths
        for offense in offenses(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))
    ]
    assert found == [], "\n".join(found)


OFFENDERS = [
    "y = np.exp(x)",
    "y = numpy.tanh(x)",
    "import numpy as other\ny = other.log(x)",
    "from numpy import matmul",
    "from numpy.linalg import norm",
    "import numpy.linalg",
    "y = np.linalg.norm(x)",
    "y = np.add.reduce(x)",
    "f = np.sin",
    "y = getattr(np, 'cos')(x)",
    "y = getattr(np, name)(x)",
    "y = np.sqrt(x)",
    "y = np.dot(a, b)",
    "y = np.einsum('ij,jk', a, b)",
    "y = np.sum(x)",
    "y = a @ b",
    "a @= b",
    "y = x ** 0.5",
    "x **= 2",
    "y = a.dot(b)",
    "y = x.sum()",
    "y = x.mean(axis=0)",
    "y = (a + b).sum()",
    "import scipy",
    "from scipy.special import erf",
    "import scipy.special as special",
    "import math\ny = math.exp(1.0)",
    "from math import tanh",
    "y = torch.exp(x)",
    "y = torch.softmax(x, -1)",
    "y = torch.matmul(a, b)",
    "y = torch.nn.functional.gelu(x)",
    "import torch.nn.functional as F",
    "from torch.nn import functional",
    "from torch.nn.functional import gelu",
    "from torch import tanh",
    "y = getattr(torch, name)(x)",
    "y = x.softmax(-1)",
    "y = tensor.matmul(other)",
    "y = x.mul(2).add(1)",
    "y = aten.mul.Tensor(a, b)",
    "y = torch.ops.aten.exp.default(x)",
    "y = torch.add(a, b)",
    "y = lanes.call('exp')",
    'y = x.reduce("fadd")',
    "declare(module, 'llvm.exp.v16f32', kind)",
    "declare(module, f'llvm.pow.v{n}f32', kind)",
    "f = numba.njit(fastmath=True)(g)",
    "y = builder.fadd(a, b, flags=('fast',))",
]
HARMLESS = [
    "y = np.ldexp(x, 3) + np.where(a, b, c) * np.abs(d)",
    "y = core.tensor.matmul(a, b, a_format=fmt)",
    "y = run.core.vector.softmax(x)",
    "y = vector.layernorm(x, gamma, beta, eps)",
    "y = builder.add(a, builder.mul(b, c))",
    "y = 2.0**n + 10**9",
    "y = torch.from_numpy(x).reshape(3).transpose(0, 1)",
    "table = {aten.mul.Tensor: f, torch.ops.aten.exp.default: g}",
    "y = 1.0 / math.sqrt(width)",
    "from math import prod, inf",
    "y = lanes.call('fma', a, b)",
    "declare(module, f'llvm.fma.v{n}f32', kind)",
    "y = x.max() - x.min()",
]


@pytest.mark.parametrize("source", OFFENDERS)
def test_an_offender_is_found(source: str) -> None:
    lines = offenses(source)
    assert lines and all(re.match(r"\d+: \S", line) for line in lines)


@pytest.mark.parametrize("source", HARMLESS)
def test_what_moves_bits_or_is_fixed_by_ieee_754_is_left_alone(source: str) -> None:
    assert offenses(source) == []


def test_an_offender_in_a_real_file_is_found_with_its_place() -> None:
    for path in result_paths():
        source = path.read_text(encoding="utf-8") + "\n\n\ndef late(x):\n    return np.exp(x)\n"
        last = source.count("\n")
        assert any(line.startswith(f"{last}: numpy.exp") for line in offenses(source)), path
