"""Settings of all tests. They are environment variables, so that programs started by tests obey."""

import os
from pathlib import Path

import hypothesis
import jaxtyping
import pytest

_CACHE_HOME = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")

# jax reads these when it is imported, which nothing above does.
os.environ.update(
    JAX_PLATFORMS="cpu",
    JAX_NUM_CPU_DEVICES="8",
    JAX_NUMPY_RANK_PROMOTION="raise",
)
# All workers and later runs share the compiled programs. The bound (in bytes) also turns on the
# file lock under which the workers write.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE_HOME / "adaptax" / "tests"))
os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(2**30))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

jaxtyping.install_import_hook(["common", "dann", "finetune"], "beartype.beartype")

# The same cases in every run, and no limit that depends on the machine's speed.
hypothesis.settings.register_profile(
    "adaptax",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=25,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("adaptax")


def pytest_configure(config: pytest.Config) -> None:
    data = os.environ.get("ADAPTAX_DATA")
    if data and not Path(data).is_dir():
        raise pytest.UsageError(
            f"ADAPTAX_DATA names {data!r}, which is no folder; unset it or name the data folder."
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("real_data") and not os.environ.get("ADAPTAX_DATA"):
            item.add_marker(pytest.mark.skip(reason="ADAPTAX_DATA names no data folder"))
        if item.get_closest_marker("matrix") and "matrix" not in config.option.markexpr:
            item.add_marker(pytest.mark.skip(reason="runs only with -m matrix"))
