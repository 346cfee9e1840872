"""What holds for all tests."""

import pytest

# kafka-python 3.0 reads its message definitions so; it works on all Pythons that we support
_KAFKA = r"ignore:(read|open)_text is deprecated:DeprecationWarning"


def pytest_configure(config: pytest.Config) -> None:
    """Warnings are errors, but for those of a library that cannot be helped here."""
    config.addinivalue_line("filterwarnings", _KAFKA)
