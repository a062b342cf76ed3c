"""How the tests run: Hypothesis profiles, and the floor under the number of tests."""

import os
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("fast", max_examples=100, deadline=None, print_blob=True)
settings.register_profile("deep", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

#: Fewest tests of each folder in a whole run: a collection that silently shrinks is red. Raise it
#: with every test; lower it only with a reason in the commit.
FLOOR = {"dtypes": 4150, "engines": 3540, "quant": 735, "study": 920}
