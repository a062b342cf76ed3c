"""What a command asks for becomes cells; wrong names are told with the nearest right ones."""

from pathlib import Path

import pytest

from halfulp.study.plan import WrongName, plan
from halfulp.study.result import Cell


def test_a_plan_without_names_is_the_default_of_each_model_and_chip() -> None:
    cells = plan()
    assert len(cells) == len(set(cells))
    assert {(cell.model, cell.task) for cell in cells} == {
        ("minilm", "supersense"),
        ("electra", "supersense"),
        ("electra", "detection"),
    }
    by_chip = {
        chip: {cell.policy for cell in cells if cell.chip == chip}
        for chip in ("inferentia1", "inferentia2")
    }
    assert by_chip["inferentia1"] == {"bf16-all", "fp16-all", "bf16-matmult", "fp16-matmult"}
    casts = {f"{fmt}-{scope}" for fmt in ("tf32", "fp16", "bf16") for scope in ("matmult", "all")}
    small = {f"{fmt}-matmult{end}" for fmt in ("e5m2", "e4m3", "e3m4") for end in ("", "-scaled")}
    rest = {"fp32", "e4m3-all", "e5m2-all", "int8-matmult", "int16-matmult"}
    assert by_chip["inferentia2"] == casts | small | rest


def test_a_plan_takes_names_once_and_in_their_own_spelling() -> None:
    cells = plan(
        ["electra", "electra"], ["detection"], ["float16-ALL", "fp16-all"], ["inferentia1"]
    )
    assert cells == (Cell("electra", "detection", "fp16-all", "inferentia1"),)


def test_an_archive_adds_the_task_that_reads_it() -> None:
    tasks = {(cell.model, cell.task) for cell in plan(archive=Path("x.tar.gz"))}
    assert ("minilm", "sentiment") in tasks


@pytest.mark.parametrize(
    ("names", "option", "message"),
    [
        ({"models": ["electr"]}, "--model", "did you mean electra"),
        ({"tasks": ["supersence"]}, "--task", "did you mean supersense"),
        ({"chips": ["inferentia3"]}, "--chip", "did you mean inferentia"),
        ({"policies": ["bf17-matmult"]}, "--policy", "bf16-matmult"),
        ({"policies": ["cfp8(2,6)-matmult"]}, "--policy", "must be 7"),
        ({"models": ["minilm"], "tasks": ["detection"]}, "--task", "minilm does supersense"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest(
    names: dict[str, list[str]], option: str, message: str
) -> None:
    with pytest.raises(WrongName, match=message) as caught:
        plan(**names)  # type: ignore[arg-type]
    assert caught.value.option == option


def test_a_folder_and_a_hub_name_are_models_too(tmp_path: Path) -> None:
    cells = plan([str(tmp_path), "someone/some-model"], (), ["fp32"], ["inferentia2"])
    assert [cell.model for cell in cells] == [str(tmp_path), "someone/some-model"]
    assert {cell.task for cell in cells} == {"supersense"}
