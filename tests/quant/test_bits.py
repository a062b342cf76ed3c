"""The bits of a whole emulated forward do not depend on threads, modes or instruction sets."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from halfulp.dtypes import threads
from halfulp.engines import NEURONCORE_V2
from halfulp.quant import emulate, named_policy
from tests.quant.tiny import inputs, tiny

#: The beginnings of the digests on an AMD EPYC with AVX-512, the same with torch 2.6 (transformers
#: 5.0), 2.13 and 2.15 (transformers 5.23). They change when the specification does, not otherwise.
GOLDEN = {
    "fp32": "3812445d17ca3c5479d6a520cc3396ee3969406d",
    "bf16-matmult": "0fde65d31e4285e62741af66f963f247779d0469",
    "bf16-all": "ba9ceedefa664e3843d320d225dd20f4c63a6574",
    "e4m3-all-scaled": "73f89ed6a39c2bd826dad1f98f6ea2e3bd75210c",
    "int8-matmult": "0fc01f621d39f5b6951e98701eee7d40680f8846",
    "int16-matmult": "c9ff518d11b3aa1708ab5657ede7343d0be347a0",
}
ROOT = Path(__file__).parents[2]


def digests() -> dict[str, str]:
    """SHA-256 of the results of a BERT and an ELECTRA, subnormal inputs among them, by policy."""
    found = {}
    for policy in GOLDEN:
        digest = hashlib.sha256()
        for architecture in ("BertForSequenceClassification", "ElectraForPreTraining"):
            model, given = tiny(architecture), inputs(rows=4, tokens=16)
            with torch.no_grad(), emulate(model, NEURONCORE_V2, named_policy(policy)):
                hidden = model(**given, output_hidden_states=True).hidden_states[-1]
                tiny_values = hidden * 2.0**-126 * 2.0**-8
                last = tiny_values * 2.0**126
            for result in (hidden, tiny_values, last):
                digest.update(result.contiguous().numpy().tobytes())
        found[policy] = digest.hexdigest()
    return found


@pytest.fixture(scope="module")
def expected() -> dict[str, str]:
    return digests()


def test_bits_are_those_of_other_machines_and_versions(expected: dict[str, str]) -> None:
    assert {policy: digest[:40] for policy, digest in expected.items()} == GOLDEN


@pytest.mark.parametrize("count", [1, 2, 3])
def test_bits_do_not_depend_on_the_number_of_threads(expected: dict[str, str], count: int) -> None:
    before = threads.get_num_threads()
    threads.set_num_threads(count)
    try:
        assert digests() == expected
    finally:
        threads.set_num_threads(before)


def test_bits_do_not_depend_on_flush_to_zero(expected: dict[str, str]) -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor has no flush-to-zero mode")
    try:
        flushed = torch.tensor(2.0**-130) * 1.0
        found = digests()
    finally:
        torch.set_flush_denormal(False)
    assert float(flushed) == 0.0
    assert found == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_gives_the_same_bits(expected: dict[str, str]) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps(digests()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        found = pipe.read()
    os.waitpid(child, 0)
    assert json.loads(found) == expected


#: Prints a result, and for each kernel that ran how often its code names a 512-bit register; code
#: that comes from a cache cannot be read, so the cache is a new one.
SCRIPT = """
import gc, json
from halfulp.dtypes.jit import Kernel
{imports}
found = {call}
kernels = [x for x in gc.get_objects() if type(x) is Kernel and "compiled" in vars(x)]
code = {{kernel.function.__name__: kernel.assembly() for kernel in kernels}}
assert all(len(text) > 1000 for text in code.values())
print(json.dumps([found, {{name: text.count("zmm") for name, text in code.items()}}]))
"""


def _elsewhere(
    cache: Path, imports: str, call: str, **environment: str
) -> tuple[Any, dict[str, int]]:
    places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment |= {"PYTHONPATH": os.pathsep.join(places), "HALFULP_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(imports=imports, call=call)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    found, wide = json.loads(done.stdout.splitlines()[-1])
    return found, wide


@pytest.mark.deep
def test_bits_do_not_depend_on_the_instruction_set(
    expected: dict[str, str], tmp_path: Path
) -> None:
    # emptied too: with the host's features numba would go on using AVX-512
    processor = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""}
    imports = "from tests.quant.test_bits import digests"
    found, wide = _elsewhere(tmp_path, imports, "digests()", **processor)
    assert found == expected
    assert set(wide.values()) == {0}
    assert len(wide) > 5


def test_the_search_for_wide_registers_finds_them_where_they_are(tmp_path: Path) -> None:
    processors = Path("/proc/cpuinfo")
    if not processors.exists() or "avx512f" not in processors.read_text():
        pytest.skip("this processor has no 512-bit registers")
    imports = "import numpy as np; from halfulp.engines import NEURONCORE_V2 as core"
    call = "core.vector.tensor_scalar(np.ones(64, 'f4'), 2.0, 'add').tolist()"
    found, wide = _elsewhere(tmp_path, imports, call)
    assert found == [3.0] * 64
    assert all(wide.values())
