"""What holds for all tests."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Warnings are errors, but for those of a library that cannot be helped here."""
    # kafka-python 3.0 reads its message definitions so; it works on all Pythons that we support
    config.addinivalue_line("filterwarnings", "ignore:read_text is deprecated:DeprecationWarning")
