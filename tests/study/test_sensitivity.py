"""`halfulp sensitivity`: what is open, what it changes, and how that is told."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.utils.generic import ModelOutput
from typer.testing import CliRunner, Result

from halfulp.dtypes import BF16, FP32, INT8, INT16, INT32, Format
from halfulp.engines import NEURONCORE_V2, SYSTOLIC, NeuronCore
from halfulp.engines.open_questions import QUESTIONS, questions
from halfulp.quant import named_policy
from halfulp.study import provenance, sensing, sensitivity, sensitivity_command
from halfulp.study.cli import app
from halfulp.study.files import FileNotWritten
from halfulp.study.provenance import free_bytes
from halfulp.study.sensitivity import (
    ASSUMED,
    Finding,
    Layer,
    Model,
    Product,
    compare,
    findings,
    verdict,
)
from halfulp.study.tasks import Workload
from tests.study.workloads import workload

QUESTION = QUESTIONS[0]


def ask(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["sensitivity", *map(str, arguments)])


def plain(result: Result) -> str:
    return " ".join(result.stderr.replace("│", "").split())


def found(a: list[float], b: list[float]) -> Finding:
    left, right = np.array(a, np.float32), np.array(b, np.float32)
    return compare(QUESTION, "other", left, right, FP32)


def test_every_question_has_alternatives_that_are_no_assumption() -> None:
    names = [question.name for question in QUESTIONS]
    assert len(set(names)) == len(names)
    for question in QUESTIONS:
        assert "assumed:" in question.asks
        for core in question.cores(NEURONCORE_V2).values():
            assert core != NEURONCORE_V2


@pytest.mark.parametrize(
    ("fmt", "more", "less"),
    [
        (FP32, {"fp32 passes"}, {"start"}),
        (INT32, {"fp32 passes"}, {"start"}),
        (INT16, {"fp32 passes", "short integers"}, {"start"}),
        (INT8, {"int8", "int32 overflow"}, {q.name for q in questions(BF16)}),
    ],
    # a set's text differs from process to process
    ids=["fp32", "int32", "int16", "int8"],
)
def test_formats_have_questions_of_their_own(fmt: Format, more: set[str], less: set[str]) -> None:
    ours, floats = ({q.name for q in questions(one)} for one in (fmt, BF16))
    assert (ours - floats, floats - ours) == (more, less)
    assert "fp32 passes" not in floats


@pytest.mark.parametrize("fmt", [BF16, FP32, INT32, INT16, INT8], ids=str)
def test_every_alternative_takes_the_formats_that_it_is_about(fmt: Format) -> None:
    for question in questions(fmt):
        for core in question.cores(NEURONCORE_V2).values():
            core.tensor.check(fmt, fmt)


@pytest.mark.parametrize("fmt", [BF16, FP32], ids=str)
def test_the_other_direction_is_the_product_of_reversed_tiles(fmt: Format) -> None:
    random = np.random.default_rng(4)
    a, b = random.standard_normal((2, 300, 300)).astype(np.float32)
    (core,) = QUESTIONS[0].cores(NEURONCORE_V2).values()
    order = np.concatenate([np.arange(k, min(k + 128, 300))[::-1] for k in (0, 128, 256)])
    found = core.tensor.matmul(a, b, a_format=fmt)
    assert np.array_equal(found, NEURONCORE_V2.tensor.matmul(a[:, order], b[order], a_format=fmt))
    assert not np.array_equal(found, NEURONCORE_V2.tensor.matmul(a, b, a_format=fmt))


def test_integer_sums_and_those_of_the_fp32_path_are_compared_as_numbers() -> None:
    random = np.random.default_rng(5)
    a, b = (random.integers(100, 128, size).astype(np.float32) for size in ((9, 4096), (4096, 9)))

    def changed(terms: int) -> set[str]:
        one = findings(Product(a[:, :terms], b[:terms], INT8), NEURONCORE_V2)
        return {f.question for f in one if not f.robust}

    assert changed(1040) == set()  # 1040 * 127^2 < 2^24
    assert changed(4096) == {"int8"}


def test_differences_are_counted_in_units_of_the_last_place() -> None:
    one = found([1.0, 2.0, 0.0, -1.0], [1.0 + 2**-23, 2.0, 0.0, -1.0 - 2**-22])
    assert (one.results, one.changed, one.largest_ulps, one.median_ulps) == (4, 0.5, 2, 1.5)
    assert not one.robust


def test_units_go_on_through_zero() -> None:
    assert found([2.0**-149], [-(2.0**-149)]).largest_ulps == 2
    assert found([0.0], [-0.0]).changed == 1  # other bits, the same number
    assert found([0.0], [-0.0]).largest_ulps == 0


@pytest.mark.parametrize(("a", "b"), [(1.0, nan), (inf, 1.0), (inf, -inf), (nan, inf)])
def test_a_number_that_was_lost_has_no_distance(a: float, b: float) -> None:
    assert found([a, 1.0], [b, 1.0]).largest_ulps is None


def test_the_same_specials_are_the_same() -> None:
    one = found([nan, inf, 1.0], [nan, inf, 1.0])
    assert one.robust
    assert (one.changed, one.largest_ulps, one.relative) == (0, 0, 0)


def test_nothing_compares_with_nothing() -> None:
    assert found([], []).robust


def test_a_product_shows_what_it_depends_on() -> None:
    # one tile, and integers that are exact in any order
    a, b = np.full((3, 64), 2, np.float32), np.full((64, 5), 3, np.float32)
    told: list[str] = []
    exact = list(findings(Product(a, b, BF16), NEURONCORE_V2, begin=told.append))
    assert all(one.robust for one in exact)
    assert told == [ASSUMED, *(one.name for one in exact)]
    assert len(exact) == sum(len(q.alternatives) for q in questions(BF16))


def test_an_order_shows_where_it_matters() -> None:
    # some keep the one that the large number swallows; four strided chains join in that order
    a = np.array([[1.0, 2.0**30, 0.0, -(2.0**30)]], np.float32)
    one = findings(Product(a, np.ones((4, 1), np.float32), BF16), NEURONCORE_V2)
    changed = {(f.question, f.alternative) for f in one if not f.robust}
    assert changed == {
        ("direction", "from row 127 down"),
        ("order", "a tile, rounded once"),
        ("chains", "2 strided"),
    }


def test_subnormals_show_where_they_occur() -> None:
    tiny = np.full((1, 1), 2.0**-130, np.float32)
    one = findings(Product(tiny, np.ones((1, 1), np.float32), BF16), NEURONCORE_V2)
    assert {f.question for f in one if not f.robust} == {"subnormals"}


def test_a_model_is_judged_by_its_predictions() -> None:
    some, policy = workload(), named_policy("bf16-matmult")
    core = replace(NEURONCORE_V2, accumulation=replace(SYSTOLIC, tile=64))
    given = list(findings(Model(some, policy), core))
    assert all(one.flips is not None and one.accuracy is not None for one in given)
    assert all(one.robust == (one.flips == 0) for one in given)
    (same,) = (one for one in given if one.question == "tile")
    assert same.changed == 0 == same.flips  # it is what this core has


def test_a_layer_is_judged_by_its_bits() -> None:
    some, policy = workload(), named_policy("bf16-matmult")
    one = list(findings(Layer(some, policy, "first"), NEURONCORE_V2))
    assert all(finding.flips is None for finding in one)
    assert len(one) == len(sensitivity.alternatives(NEURONCORE_V2, BF16))


class Nested(torch.nn.Module):
    """Modules whose outputs are no single tensor, and one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(8, 26)
        self.shape = Shape()
        self.pair, self.mapping = Pair(self.linear), Mapping(self.linear)
        self.held = torch.nn.ModuleList([torch.nn.Linear(8, 8)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.shape(x) == 8
        return self.pair(self.held[0](x))[1][0] + self.mapping(x)["hidden"]


class Shape(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> int:
        return x.shape[-1]


class Pair(torch.nn.Module):
    def __init__(self, linear: torch.nn.Module) -> None:
        super().__init__()
        self.own = linear

    def forward(self, x: torch.Tensor) -> tuple[None, list[torch.Tensor]]:
        return None, [self.own(x), x]


class Mapping(Pair):
    def forward(self, x: torch.Tensor) -> Any:
        return ModelOutput(hidden=self.own(x), other=x)


@pytest.fixture(scope="module")
def nested() -> Workload:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return replace(workload(), module=Nested().eval())


@pytest.mark.parametrize("name", ["", "linear", "pair", "mapping", "held.0"])
def test_of_an_output_the_first_tensor_is_compared(name: str, nested: Workload) -> None:
    layer = Layer(nested, named_policy("bf16-matmult"), name)
    found = layer.run(NEURONCORE_V2)
    assert found.shape == (10, 8 if name == "held.0" else 26)
    if name == "pair":  # calls `linear` first
        own = Layer(nested, named_policy("bf16-matmult"), "linear").run(NEURONCORE_V2)
        assert np.array_equal(found, own)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("held", "'held', a ModuleList, is never called: .*; near it: held.0"),
        ("shape", "'shape' puts out no tensor; the first: linear"),
        ("foo", "no layer 'foo'; the first: linear, pair, mapping, held.0$"),
        ("inea", "no layer 'inea'; near it: linear$"),
        ("maping", "no layer 'maping'; near it: mapping$"),
    ],
)
def test_a_layer_without_a_tensor_is_refused_with_those_that_have_one(
    name: str, words: str, nested: Workload
) -> None:
    with pytest.raises(ValueError, match=words):
        Layer(nested, named_policy("bf16-matmult"), name)
    assert not any(module._forward_hooks for module in nested.module.modules())


@pytest.mark.model
@pytest.mark.parametrize("layer", ["electra", "electra.encoder", ""])
def test_layers_of_a_shipped_model_may_put_out_more_than_a_tensor(layer: str) -> None:
    result = ask("--model", "electra", "--layer", layer, "--samples", 1, "--policy", "int8-matmult")
    assert result.exit_code == 0, result.output
    assert " alternative" in result.stdout.splitlines()[-1]


@pytest.mark.model
def test_a_list_of_layers_is_refused_kindly() -> None:
    result = ask("--model", "electra", "--layer", "electra.encoder.layer", "--samples", 1)
    assert result.exit_code == 2
    assert "is never called" in plain(result) and "near it: electra.encoder.layer.0" in plain(
        result
    )


def test_the_command_prints_and_writes_its_findings(tmp_path: Path) -> None:
    file = tmp_path / "open.json"
    result = ask("--shape", "5x130x7", "--json", file)
    assert result.exit_code == 0
    body = json.loads(file.read_text())
    assert body["schema"] == sensing.SCHEMA and body["shape"] == "5x130x7"
    lines = result.stdout.splitlines()
    assert len(lines) == len(body["found"]) + 3
    changed = [one for one in body["found"] if not one["robust"]]
    assert f"{len(changed)} of {len(body['found'])} alternatives change" in lines[-1]
    for one, line in zip(body["found"], lines[1:], strict=False):
        assert line.split()[-1] == ("robust" if one["robust"] else "open")


def test_the_verdict_of_a_product_speaks_of_its_result() -> None:
    same, other = found([1.0], [1.0]), found([1.0], [2.0])
    assert verdict([same, same]) == "robust: none of 2 alternatives changes the result"
    assert verdict([same]) == "robust: none of 1 alternative changes the result"
    assert verdict([same, other]) == "1 of 2 alternatives changes the result: direction"
    assert verdict([other, other]) == "2 of 2 alternatives change the result: direction"


def test_the_verdict_of_a_model_speaks_of_predictions() -> None:
    same, other = (replace(found([1.0], [x]), flips=0.0, accuracy=1.0) for x in (1.0, 2.0))
    assert verdict([same, same]) == "robust: none of 2 alternatives changes a prediction"
    assert verdict([same, other, other]) == (
        "robust: none of 3 alternatives changes a prediction;"
        " 2 of them change logits, as the table shows"
    )
    flips = replace(other, flips=0.5)
    assert verdict([same, flips]) == "1 of 2 alternatives changes a prediction: direction"


SHAPE = ("--shape", "5x130x7")


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Ctrl-C when the product with that number runs; the first is what is assumed."""
    original, runs = Product.run, 0

    def stop(number: int) -> None:
        def run(product: Product, core: NeuronCore) -> Any:
            nonlocal runs
            runs += 1
            if runs == number:
                raise KeyboardInterrupt
            return original(product, core)

        monkeypatch.setattr(Product, "run", run)

    yield stop


def test_a_stopped_study_prints_what_is_finished(stopped: Callable[[int], None]) -> None:
    whole = ask(*SHAPE).stdout.splitlines()
    stopped(4)
    result = ask(*SHAPE)
    assert result.exit_code == 130
    assert "stopped in order: a tree of pairs; 2 of 15 alternatives are finished" in result.stderr
    assert "with --json FILE they are kept" in result.stderr
    lines = result.stdout.splitlines()
    assert [line.split() for line in lines[1:3]] == [line.split() for line in whole[1:3]]
    assert lines[-1].startswith("unfinished, 2 of 15: ")


def test_a_study_stopped_at_once_prints_no_table(stopped: Callable[[int], None]) -> None:
    stopped(1)
    result = ask(*SHAPE)
    assert (result.exit_code, result.stdout) == (130, "")
    assert "stopped in what is assumed; 0 of 15 alternatives are finished" in result.stderr


def test_a_stopped_study_goes_on_where_it_was(
    stopped: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "open.json"
    with monkeypatch.context():
        stopped(4)
        result = ask(*SHAPE, "--json", file)
    assert f"and kept in {file}: the same command goes on from there" in result.stderr
    body = json.loads(file.read_text())
    assert body["unfinished"] is True and len(body["found"]) == 2
    monkeypatch.undo()
    again = ask(*SHAPE, "--json", file)
    assert again.exit_code == 0 and again.stderr.count("from the file") == 2
    assert again.stdout == ask(*SHAPE).stdout
    body = json.loads(file.read_text())
    assert body["unfinished"] is False and len(body["found"]) == 15
    third = ask(*SHAPE, "--json", file)
    assert third.stderr.count("from the file") == 15 and ASSUMED not in third.stderr
    assert third.stdout == again.stdout


def test_what_was_kept_is_not_lost_when_it_stops_again(
    stopped: Callable[[int], None], tmp_path: Path
) -> None:
    file = tmp_path / "open.json"
    assert ask(*SHAPE, "--json", file).exit_code == 0
    body = json.loads(file.read_text())
    body["unfinished"], missing = True, body["found"].pop(1)
    file.write_text(json.dumps(body))
    stopped(2)
    result = ask(*SHAPE, "--json", file)
    assert result.exit_code == 130
    assert f"stopped in {missing['question']}: {missing['alternative']}; 14 of 15" in result.stderr
    assert len(json.loads(file.read_text())["found"]) == 14
    assert len(result.stdout.splitlines()) == 1 + 14 + 2


@pytest.mark.parametrize(
    "change",
    [{"shape": "5x131x7"}, {"chip": "inferentia1"}, {"made": {}}, {"schema": 1}, {"found": 3}],
    ids=str,
)
def test_a_file_of_other_options_or_sources_is_replaced(
    change: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "open.json"
    assert ask(*SHAPE, "--json", file).exit_code == 0
    right = file.read_text()
    file.write_text(json.dumps({**json.loads(right), **change}))
    result = ask(*SHAPE, "--json", file)
    assert result.exit_code == 0 and "from the file" not in result.stderr
    assert file.read_text() == right


def test_a_file_that_cannot_be_written_costs_no_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise FileNotWritten(f"cannot write {path}: no space")

    monkeypatch.setattr(sensing, "write_whole", full)
    result = ask(*SHAPE, "--json", tmp_path / "open.json")
    assert result.exit_code == 1 and "no space" in result.stderr
    assert len(result.stdout.splitlines()) == 1 + 15 + 2


def test_ctrl_c_prints_the_table_and_ends_with_130(tmp_path: Path) -> None:
    file = tmp_path / "open.json"
    command = [sys.executable, "-m", "halfulp", "sensitivity", "--shape", "64x1024x2048"]
    process = subprocess.Popen(
        [*command, "--json", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background has told its children to ignore it
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    assert process.stderr.readline() == f"[0/15] {ASSUMED} ...\n"
    assert process.stderr.readline().startswith("[1/15] direction: from row 127 down: ")
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and f"kept in {file}" in errors
    assert "direction  from row 127 down" in printed and "\nunfinished, " in printed
    assert json.loads(file.read_text())["unfinished"] is True


def test_what_no_memory_holds_is_refused_before_it_is_tried() -> None:
    result = ask("--shape", "100000x100000x100000")
    assert result.exit_code == 2
    fits = re.search(r"what fits: M\*K .* up to [\d,]+, as in (\d+)x(\d+)x(\d+)", plain(result))
    assert fits and "--shape" in plain(result)
    assert 3 * int(fits[1]) ** 2 * sensitivity_command._BYTES <= (free_bytes() or 0) * 1.2


def test_where_the_memory_is_not_told_its_end_is_an_error_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(provenance, "free_bytes", lambda: None)
    result = ask("--shape", "100000000x100000000x1")
    assert result.exit_code == 2
    assert "--shape: 100000000x100000000x1 takes more memory than there is" in plain(result)


def test_the_help_says_what_is_compared_and_the_defaults() -> None:
    text = " ".join(ask("--help").output.split())
    assert "One module of the model: its output's first tensor." in text
    for default in ("[128x1024x1024]", "[bf16]", "[bf16-matmult]", "[64]"):
        assert default in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--shape", "3x4"), "three positive numbers"),
        (("--shape", "0x4x1"), "three positive numbers"),
        (("--shape", "1000000x1000000x1000000"), "--shape: 1000000x1000000x1000000 takes some"),
        (("--shape", "99999999999999999999x1x1"), "--shape: 99999999999999999999x1x1 takes some"),
        (("--shape", f"{'9' * 5000}x1x1"), "--shape: 9999"),
        (("--format", "e4m3fn"), "EVRF051"),
        (("--format", "fp7"), "fp7"),
        (("--chip", "inf3"), "inferentia2"),
        (("--layer", "first"), "--layer: it is of a model, which --model names; give it too"),
        (("--task", "supersense"), "--task: it is of a model, which --model names"),
        (("--samples", "3"), "--samples: it is of a model, which --model names"),
        (("--policy", "fp32", "--shape", "3x3x3"), "--policy: it is of a model, .*--shape is of a"),
        (("--samples", "3", "--format", "bf16"), "--samples: it is of a model, .*--format is of a"),
        (("--model", "electra", "--shape", "3x3x3"), "--shape: it is of a product, --model of a"),
        (("--model", "electra", "--format", "bf16"), "--format: it is of a product, --model of a"),
        (
            ("--model", "electro"),
            "no model is called 'electro'; did you mean electra. known: minilm",
        ),
        (("--model", "minilm", "--task", "detection"), "--task: minilm does supersense"),
        (("--model", "electra", "--policy", "bf17"), "bf17"),
        (("--model", "electra", "--task", "chess"), "supersense"),
    ],
    ids=str,
)
def test_wrong_usage_is_told_with_what_is_allowed(arguments: tuple[str, ...], named: str) -> None:
    result = ask(*arguments)
    assert result.exit_code == 2
    assert re.search(named, plain(result))


def test_a_model_that_is_nowhere_is_told_with_the_shipped_ones() -> None:
    result = ask("--model", "./nowhere")
    assert result.exit_code == 1
    assert "nowhere: no such model folder; name one that save_pretrained" in result.stderr
    assert "or a shipped model: minilm, electra" in result.stderr
