"""Messages speak of one thing and of several as people do."""

import numpy as np
import pytest

from halfulp.dtypes.wording import are, counted, kind_of


@pytest.mark.parametrize(
    ("count", "thing", "words"),
    [
        (0, "probe", "0 probes"),
        (1, "probe", "1 probe"),
        (2, "probe", "2 probes"),
        (1, "class", "1 class"),
        (2, "class", "2 classes"),
        (1636, "sample", "1,636 samples"),
    ],
)
def test_a_noun_has_the_number_of_what_is_counted(count: int, thing: str, words: str) -> None:
    assert counted(count, thing) == words
    assert are(count) == ("is" if count == 1 else "are")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "an int"),
        ("x", "a str"),
        (None, "a NoneType"),
        (np.ones(1), "an ndarray"),
        (np.uint8(1), "a uint8"),
        (np.int8(1), "an int8"),
        ([], "a list"),
    ],
    ids=str,
)
def test_a_type_has_its_article(value: object, words: str) -> None:
    assert kind_of(value) == words
