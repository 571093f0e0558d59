"""That a second start compiles nothing is tested with processes, in run_test.py."""

import errno
import os
import tempfile
from pathlib import Path

import jax
import pytest

from common.experiment import compilation_cache
from common.experiment.compilation_cache import bound, use_compilation_cache

OPTIONS = (
    *("jax_compilation_cache_dir", "jax_enable_compilation_cache"),
    *("jax_persistent_cache_min_compile_time_secs", "jax_persistent_cache_min_entry_size_bytes"),
)


def option(name):
    return getattr(jax.config, name)


@pytest.fixture
def said(monkeypatch):
    """What was told; the options of JAX are put back."""
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    before = {name: option(name) for name in OPTIONS}
    yield []
    for name, value in before.items():
        jax.config.update(name, value)


def test_default_is_in_the_users_cache_folder(tmp_path, monkeypatch, said):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = use_compilation_cache("", said.append)
    assert found is not None and found.is_relative_to(tmp_path / "adaptax" / "compiled")
    assert option("jax_compilation_cache_dir") == str(found)
    assert not said and not list(found.iterdir())
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert compilation_cache.default_folder().is_relative_to(tmp_path / ".cache" / "adaptax")


def test_environment_and_off_are_obeyed(tmp_path, monkeypatch, said):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "mine"))
    before = option("jax_compilation_cache_dir")
    assert use_compilation_cache("", said.append) is None
    assert option("jax_compilation_cache_dir") == before
    # What the command line says is nearer than the environment.
    assert use_compilation_cache(str(tmp_path / "own"), said.append) == tmp_path / "own"
    assert use_compilation_cache("off", said.append) is None
    assert not option("jax_enable_compilation_cache")
    assert not said


def test_folder_that_cannot_be_used_is_told_in_one_line(tmp_path, monkeypatch, said):
    (tmp_path / "file").write_text("")
    before = option("jax_compilation_cache_dir")
    assert use_compilation_cache(str(tmp_path / "file" / "below"), said.append) is None

    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, _):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: Full())
    assert use_compilation_cache(str(tmp_path / "full"), said.append) is None
    assert option("jax_compilation_cache_dir") == before
    no_folder, full = said
    assert "below: Not a directory; config.runtime.compilation_cache names another" in no_folder
    assert "full: No space left on device; config" in full
    assert "\n" not in no_folder + full


def test_programs_that_were_not_used_for_longest_go_first(tmp_path):
    for age in range(4):
        path = Path(tmp_path / f"{age}-cache")
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - age))
    bound(tmp_path, 400)
    assert len(list(tmp_path.iterdir())) == 4
    bound(tmp_path, 399)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0-cache"]
