"""What Hypothesis calls when it is imported, in use or not: it must cost nothing."""

import sys


def register() -> None:
    """Register the types of `halfulp.dtypes` where it is imported; where not, it does so itself."""
    if "halfulp.dtypes" in sys.modules:
        from halfulp.dtypes.hypothesis_types import register as register_types

        register_types()
