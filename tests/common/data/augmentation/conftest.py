"""All tests here compile quickly: small programs, run once or twice."""

import pytest

from tests.tiny import quick_compilation


@pytest.fixture(autouse=True, scope="package")
def compile_quickly():
    with quick_compilation():
        yield
