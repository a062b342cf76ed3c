"""The command `halfulp rates`: its tables, its files, and what it says to wrong use."""

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread
from typer.testing import CliRunner, Result

from halfulp.study.cli import app
from halfulp.study.ledger_files import read_ledger
from halfulp.study.rates_command import EXAMPLES


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["rates", *map(str, arguments)])


def good(*arguments: object) -> str:
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(*arguments: object) -> str:
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    # the words as they are, whatever the box around them
    return " ".join(done.output.replace("│", " ").split())


def data_of(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_one_model_shows_three_numbers_engines_and_layers(tmp_path: Path) -> None:
    kept = tmp_path / "rates.json"
    text = good("distilbert", "--json", kept)
    for word in ("peak", "roofline", "schedule", "calibrated", "nine of ten", "USD per million"):
        assert word in text
    assert "transformer.layer.*.ffn.lin1 x 6" in text and "lin1 x 6" not in good(
        "distilbert", "--layers"
    )
    (offer,) = data_of(kept)["offers"]
    assert offer["peak_ms"] < offer["roofline_ms"] < offer["calibrated_ms"]
    assert offer["calibrated_low_ms"] < offer["calibrated_ms"] < offer["calibrated_high_ms"]
    assert offer["bound"] == "HBM" and offer["era"] == "2.23+"
    assert sum(layer["flops"] for layer in offer["layers"]) == offer["flops"]
    assert "95.00" in text and "91.75" in text and "data sheet, INT8" in text


def test_a_sweep_marks_the_knee(tmp_path: Path) -> None:
    kept = tmp_path / "rates.json"
    text = good("distilbert", "--batch", "1,2,4,8,16,32", "--json", kept)
    (knee,) = data_of(kept)["knees"]
    marked = [line for line in text.splitlines() if line.endswith("knee")]
    assert len(marked) == 1 and marked[0].split()[0] == str(knee["batch"])
    assert [offer["batch"] for offer in data_of(kept)["offers"]] == [1, 2, 4, 8, 16, 32]
    by_tokens = good("distilbert", "--tokens", "64,128,256")
    assert len([line for line in by_tokens.splitlines() if line.startswith("1 ")]) == 3


def test_the_announcement(tmp_path: Path) -> None:
    kept = tmp_path / "announcement.json"
    text = good("--announcement", "--json", kept)
    assert "20 of 20 cells equal" in text and "DIFFERENT" not in text
    data = data_of(kept)
    assert data["cells_equal"] == 20 and len(data["rows"]) == 8 and len(data["cells"]) == 20
    names = {"peak_ms", "roofline_ms", "calibrated_ms", "measured_ms"}
    assert all(names <= set(row) for row in data["rows"])


def test_what_was_chosen_of_an_architecture_is_said(tmp_path: Path) -> None:
    kept = tmp_path / "rates.json"
    assert "GELU by tanh as one function (assumed" in good("albert-base", "--json", kept)
    (offer,) = data_of(kept)["offers"]
    assert "assumed: the compiler finds it" in offer["note"]


def test_the_calibration() -> None:
    text = good("--calibration")
    assert "configuration left out" in text and "launch_s" in text and "NeuronCore-v1" in text


def test_files_of_the_ledger_and_the_schedule(tmp_path: Path) -> None:
    ledger, trace, png = (tmp_path / name for name in ("l.parquet", "t.pftrace", "roof.png"))
    good("distilbert", "--ledger", ledger, "--trace", trace, "--picture", png)
    records = read_ledger(ledger).records
    assert len(records) == 88 and records[0].instruction == "gather"
    assert trace.stat().st_size > 88 * 20
    assert imread(png).shape[1] > 1000
    svg = tmp_path / "roof.svg"
    good("distilbert", "--picture", svg)
    assert "<svg" in svg.read_text(encoding="utf-8")


def test_hardware_of_one_s_own(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    price = '{ value = 1.0, unit = "USD/h", source = "an offer", as_of = 2026-11-01 }'
    own.write_text(
        f'[chip.mine]\nbased_on = "inferentia2"\ncores = 4\n'
        f'[instance.box]\nchip = "mine"\nprices.spot = {price}\n',
        encoding="utf-8",
    )
    text = good("distilbert", "--include", own, "--chip", "mine")
    assert "an offer, 2026-11-01" in text and "no measurement is of this chip" in text
    own.write_text("[chip.mine]\n", encoding="utf-8")
    assert "chip.mine.based_on: None is not known" in refused(
        "distilbert", "--include", own, "--chip", "mine"
    )


def test_measurements_of_one_s_own(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    header = "model,chip,batch,seq_len,cores_used,service_ms"
    lines = [f"distilbert,inferentia2,{batch},64,1,{0.5 + batch * 0.4}" for batch in (1, 2, 4)]
    rows.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    kept = tmp_path / "rates.json"
    good("distilbert", "--tokens", 64, "--batch", 3, "--measurements", rows, "--json", kept)
    (offer,) = data_of(kept)["offers"]
    # between its neighbours, which are straight lines of the batch
    assert 1.3 < offer["calibrated_ms"] < 2.1
    rows.write_text(header + "\n", encoding="utf-8")
    assert "no row of it can be fitted" in refused("distilbert", "--measurements", rows)
    rows.write_text("\n".join([header, *lines, "mine,inferentia2,1,64,1,2"]) + "\n")
    done = run("--calibration", "--measurements", rows, "--json", kept)
    assert done.exit_code == 0 and "line 5 left out: no architecture" in done.stderr
    assert data_of(kept)["rows"]["name"] == "rows.csv"
    assert "no measurement is of Inferentia1" in refused("--announcement", "--measurements", rows)
    assert "rows.txt" in refused("distilbert", "--measurements", tmp_path / "rows.txt")


def test_a_folder_with_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({
            "architectures": ["BertForSequenceClassification"],
            "model_type": "bert", "hidden_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "intermediate_size": 96, "vocab_size": 50,
        }),
        encoding="utf-8",
    )  # fmt: skip
    text = good(tmp_path, "--tokens", 16)
    assert "keys and values" in text
    assert "classifier" in text and "bert.encoder.layer.*.output.dense x 2" in text
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    assert "config.json" in refused(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "vit"}', encoding="utf-8")
    assert "cannot be called with input_ids" in refused(tmp_path)
    # of bfloat16, without a class
    (tmp_path / "config.json").write_text(
        json.dumps({
            "model_type": "bert", "hidden_size": 64, "num_hidden_layers": 1, "vocab_size": 9,
            "num_attention_heads": 4, "intermediate_size": 96, "dtype": "bfloat16",
        }),
        encoding="utf-8",
    )  # fmt: skip
    good(tmp_path, "--tokens", 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give a model, or --announcement, or --calibration"),
        (("distilbert", "--announcement"), "one of them"),
        (("distilbert", "--refit"), "it is of --calibration"),
        (("--calibration", "--era", "2.8-2.9"), "it is of a model; --calibration takes no such"),
        (("--announcement", "--batch", "2"), "it is of a model; --announcement takes no such"),
        (("distilbert", "--json", "x.json", "--ledger", "x.json"), "x.json is also --json"),
        (("distilbert", "--cores", "3"), "3; inf2.xlarge has 2 cores"),
        (("distilbert", "--cores", "2", "--tensor-parallel", "2"), "all work on it"),
        (("distilbert", "--batch", "1,2", "--trace", "t"), "it is of one forward"),
        (("bert-huge",), "is no architecture and no folder"),
        (("distilbert", "--batch", "0"), "'0'; needed: numbers such as 1,2,4"),
        (("distilbert", "--tokens", "many"), "'many'; needed: numbers"),
        (("distilbert", "--tokens", "600"), "tokens=600; distilbert has 512 positions"),
        (("distilbert", "--policy", "bf17"), "no policy is called"),
        (("distilbert", "--chip", "tpu"), "'tpu' is no chip; allowed: inferentia1"),
        (("distilbert", "--chip", "inferentia1", "--policy", "fp32"), "NeuronCore-v1 has no fp32"),
        (("distilbert", "--instance", "p4"), "'p4' is not known; allowed: inf1.xlarge"),
        (
            ("distilbert", "--instance", "inf1.xlarge", "--chip", "inferentia2"),
            "inf1.xlarge has inferentia1, not inferentia2",
        ),
        (("distilbert", "--price", "spot"), "'spot'; inf2.xlarge has on-demand, reserved"),
        (("distilbert", "--era", "1.0"), "era='1.0'; NeuronCore-v2 has: hf-feb-2023"),
        (("distilbert", "--tensor-parallel", "4"), "4; inf2.xlarge has 2 cores"),
        (("distilbert", "--picture", "roof.pdf"), "ends in '.pdf'; allowed: .png, .svg"),
        (("distilbert", "--ledger", "l.txt"), "ends in '.txt'; allowed: .json, .csv, .parquet"),
        (("distilbert", "--json", f"{__file__}/x.json"), "is a file, not a folder"),
    ],
)
def test_wrong_use_says_what_to_do(arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(*arguments)


def test_the_examples_of_the_help_run() -> None:
    assert "gpt-175b" in " ".join(EXAMPLES)
    for example in EXAMPLES:
        words = example.split()[2:]
        if "--json" in words:
            words = words[: words.index("--json")]
        good(*words)


def test_a_row_that_is_not_string_equal_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    from halfulp.study import announcement

    line = announcement.LINES[0]
    wrong = (line.__class__(**{**vars(line), "old_ms": 36.0}), *announcement.LINES[1:])
    monkeypatch.setattr(announcement, "LINES", wrong)
    done = run("--announcement")
    assert done.exit_code == 1 and "a derived cell is not the printed one" in done.output
