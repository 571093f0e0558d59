"""Domains that several tests of tasks read."""

import numpy as np
import pytest

from common.data import reader
from tests.common.data.tiny_task import LETTERS, examples_of


@pytest.fixture
def files(monkeypatch):
    """Domains as if read from files: `folder:left` and `folder:right`."""
    found = {
        "left": examples_of(LETTERS, np.arange(40) % 3),
        "right": examples_of(LETTERS, np.arange(60)[::-1] % 3),
    }
    monkeypatch.setitem(reader.READERS, "folder", lambda place, options: found[place])
    reader.read.cache_clear()
    yield found
    reader.read.cache_clear()
