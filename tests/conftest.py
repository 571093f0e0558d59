"""Settings of all tests. They are environment variables, so that programs started by tests obey."""

import functools
import os
import shutil
from collections.abc import Iterator
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
# Nearly all of a test's time is compilation, and few programs run long enough to repay
# optimization; the fixture `optimized` takes it back. The older emitters of fused loops compile in
# less than half the time. Who sets both variables otherwise compiles all as users do.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
# All workers and later runs share the compiled programs. jax's own bound on the folder's size
# reads the whole folder at every write; `_bound_cache` does it once a session.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE_HOME / "adaptax" / "tests"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
_CACHE_BYTES = 2**30

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


@pytest.fixture(scope="module")
def optimized() -> Iterator[None]:
    """Compiles as users do: for comparisons of two programs bit by bit, and for long training."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    emitters = {"xla_cpu_use_fusion_emitters": True}
    with pytest.MonkeyPatch.context() as patch:
        # How many steps a scan takes changes bits under the older emitters.
        patch.setattr(jax, "jit", functools.partial(jax.jit, compiler_options=emitters))
        yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module")
def shared_programs() -> Iterator[None]:
    """Runs that would build the same program share one."""
    from tests.tiny_run import share_programs

    with pytest.MonkeyPatch.context() as patch:
        share_programs(patch)
        yield


def _bound_cache() -> None:
    """Empties the folder of compiled programs where it has grown too large."""
    folder = Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    if folder.is_dir() and sum(file.stat().st_size for file in folder.iterdir()) > _CACHE_BYTES:
        shutil.rmtree(folder, ignore_errors=True)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        _bound_cache()
    data = os.environ.get("ADAPTAX_DATA")
    if data and not Path(data).is_dir():
        raise pytest.UsageError(
            f"ADAPTAX_DATA names {data!r}, which is no folder; unset it or name the data folder."
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("real_data") and not os.environ.get("ADAPTAX_DATA"):
            item.add_marker(pytest.mark.skip(reason="ADAPTAX_DATA names no data folder"))
        for name in ("matrix", "slurm"):
            if item.get_closest_marker(name) and name not in config.option.markexpr:
                item.add_marker(pytest.mark.skip(reason=f"runs only with -m {name}"))
