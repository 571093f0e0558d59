"""Tests of where members live, on eight virtual devices."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.training import parallel


@pytest.mark.parametrize(
    ("num_members", "max_devices", "expected"),
    [(1, 0, 1), (6, 0, 6), (7, 0, 7), (8, 0, 8), (9, 0, 3), (11, 0, 1), (16, 0, 8), (12, 5, 4),
     (8, 1, 1)],
)  # fmt: skip
def test_members_spread_evenly_over_as_many_devices_as_divide_them(
    num_members, max_devices, expected
):
    placement = parallel.make_placement(num_members, max_devices)
    assert len(placement.kinds) == expected
    members = parallel.place(np.zeros((num_members, 3)), placement.members)
    shards = [shard.data.shape for shard in members.addressable_shards]
    assert shards == [(num_members // expected, 3)] * expected
    shared = parallel.place(np.zeros((5, 3)), placement.shared)
    assert [shard.data.shape for shard in shared.addressable_shards] == [(5, 3)] * expected


def test_placing_changes_no_value():
    tree = {
        "a": np.arange(16, dtype=np.float32).reshape(8, 2),
        "key": jax.random.split(jax.random.key(0), 8),
    }
    placed = parallel.place(tree, parallel.make_placement(8, 0).members)
    assert all((placed[name] == tree[name]).all() for name in tree)


def test_members_do_not_communicate():
    placement = parallel.make_placement(8, 0)
    kernels = parallel.place(np.ones((8, 4, 4), np.float32), placement.members)
    table = parallel.place(np.ones((10, 4), np.float32), placement.shared)

    def member(kernel, table):
        return jax.grad(lambda kernel: jnp.sum(jnp.tanh(table @ kernel) ** 2))(kernel)

    compiled = jax.jit(jax.vmap(member, in_axes=(0, None))).lower(kernels, table).compile()
    text = compiled.as_text()
    assert text is not None
    for collective in ("all-reduce", "all-gather", "all-to-all", "collective-permute"):
        assert collective not in text
    assert len(compiled(kernels, table).addressable_shards) == 8


def test_the_devices_in_use_are_named():
    assert parallel.make_placement(4, 0).kinds == ("cpu",) * 4


def test_cores_become_devices(monkeypatch):
    seen = {}
    monkeypatch.setattr(jax.config, "update", lambda name, value: seen.update({name: value}))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    parallel.use_processor_cores()
    # A number in the environment stands.
    assert not seen
    monkeypatch.delenv("JAX_NUM_CPU_DEVICES")
    parallel.use_processor_cores()
    assert seen == {"jax_num_cpu_devices": 3}
