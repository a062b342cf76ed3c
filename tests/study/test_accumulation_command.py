"""`halfulp show accumulation`: what it prints and writes, and what it refuses."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from halfulp.engines import PRESETS, Tree, declared_tree
from halfulp.engines.open_questions import questions
from halfulp.study import accumulations
from halfulp.study.cli import app

OURS = "neuroncore-v2-matmul-bf16-fp32"
CHAINS = "neuroncore-assumed-chains2"


def show(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["show", *map(str, arguments)])


def words(text: str) -> str:
    return " ".join(text.split())


def test_without_a_name_all_are_listed() -> None:
    result = show("accumulation")
    assert result.exit_code == 0
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["name", "machine", "instruction", "operands", "result", "known"]
    assert [line.split()[0] for line in lines] == [*PRESETS]
    assert [line.split()[-1] for line in lines] == [one.standing for one in PRESETS.values()]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_shown(name: str) -> None:
    result = show("accumulation", name)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{name}\nmachine  ")
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert PRESETS[name].note in words(result.stdout)
    assert PRESETS[name].source in words(result.stdout)


def test_what_is_assumed_is_marked_with_its_alternatives() -> None:
    text = words(show("accumulation", OURS).stdout)
    assert "chains ASSUMED one, k ascending open: from which row" in text
    assert "or: 2 strided; or: 4 strided, in sequence; or: 4 strided, in pairs" in text
    assert "sums documented fp32" in text
    for question in questions(PRESETS[OURS].a_format):
        assert f"open: {question.asks} or: {'; or: '.join(question.alternatives)}" in text
    assert "NKI aws-neuron/aws-neuron-sdk @" in text


def test_the_tree_is_drawn_for_two_tiles_or_for_k() -> None:
    assert show("accumulation", OURS).stdout.endswith(
        "\ntree of k = 0 to 255, and c, the accumulator:\n"
        "sum\n├─ chain of 129: 0 1 … 127 c\n└─ chain of 128: 128 129 … 255\n"
    )
    assert show("accumulation", CHAINS, "--k", 8).stdout.endswith(
        "\ntree of k = 0 to 7, and c, the accumulator:\n"
        "chain of 3\n├─ chain of 4: 0 2 … 6\n├─ chain of 4: 1 3 … 7\n└─ c\n"
    )
    assert show("accumulation", "v100-wmma-fp16-fp32").stdout.endswith(
        "\nchain of 2 fused: 0 1 … 3 c | 4 5 … 7\n"
    )


@pytest.mark.parametrize("name", [OURS, CHAINS, "h100-mma-e5m2-fp16", "zen4-vpdpwssd-int16-int32"])
def test_the_file_has_what_is_printed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a/preset.json"
    text = show("accumulation", name, "--k", 11, "--json", path).stdout
    body = json.loads(path.read_text(encoding="utf-8"))
    assert (body["schema"], body["name"], body["k"]) == (accumulations.SCHEMA, name, 11)
    assert Tree.parse(body["tree"]) == declared_tree(PRESETS[name].accumulation, 11, True)
    for fact in body["facts"]:
        assert f"{fact['topic']} " in text and fact["words"] in words(text)
        assert fact["fields"].items() <= body["accumulation"].items()
        for one in fact["open"]:
            assert one["asks"] in words(text)
            assert all(alternative in words(text) for alternative in one["alternatives"])
    for source, said in body["sources"].items():
        assert f"{source} {said}" in words(text)


def test_the_list_is_data_too(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    assert show("accumulation", "--json", path).exit_code == 0
    body = json.loads(path.read_text(encoding="utf-8"))
    assert [one["name"] for one in body["accumulations"]] == [*PRESETS]
    assert body["accumulations"][0]["machine"] == "NVIDIA V100"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["accumulation", "neuroncore-v2"], "no preset 'neuroncore-v2'; the nearest: neuron"),
        (["accumulation", "nonsense"], "; see `halfulp show accumulation`"),
        (["accumulation", OURS, CHAINS], f"give one name, not {OURS} {CHAINS}"),
        (["accumulation", OURS, "--k", 0], "--k: k=0 is out of range; allowed: 1 to 65535"),
        (["accumulation", OURS, "--k", 65536], "--k: k=65536 is out of range"),
        (["accumulation", OURS, "--json", "/"], "is a folder"),
        (["accumulation", "--k", 3], "--k: it is of one accumulation: halfulp show accumulation"),
        (["e4m3", "--k", 3], "--k: it is of an accumulation: halfulp show accumulation NAME --k"),
        (["format", "e4m3", "--json", "e4m3.json"], "--json: it is of an accumulation"),
    ],
)
def test_wrong_words_end_with_two(arguments: list[object], message: str) -> None:
    result = show(*arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert message in words(result.stderr)


def test_of_an_unknown_name_the_nearest_three_are_told() -> None:
    told = words(show("accumulation", "h100-fp16").stderr.replace("│", " "))
    near = told.partition("the nearest: ")[2].partition(";")[0]
    assert len(near.split(", ")) == 3 and set(near.split(", ")) <= set(PRESETS)
    assert "h100-wmma-fp16-fp16" in near


def test_a_format_is_shown_as_before() -> None:
    assert show("e4m3").stdout == show("format", "e4m3").stdout
    assert show("e4m3").stdout.startswith("e4m3\n")
