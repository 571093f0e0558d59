"""Tests of the hashes of whole domains and of single examples."""

import gc
import hashlib

import numpy as np
import pytest

from common.data import fingerprint as module
from common.data.fingerprint import digest_examples, fingerprint


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 9, (60, 2, 2, 1), np.uint8)


class Store:
    """Pictures that are read when asked for, and how many were."""

    def __init__(self, images):
        self.shape, self.dtype = images.shape, images.dtype
        self.images, self.num_read = images, 0

    def __getitem__(self, rows):
        self.num_read += len(rows)
        return self.images[rows]


def test_fingerprints_of_pictures_and_labels_are_apart(images):
    labels = np.arange(60) % 3
    relabelled = (labels + 1) % 3
    assert fingerprint(labels) != fingerprint(relabelled)
    prints = [
        fingerprint(array)
        for array in (images, images[::-1], images.reshape(60, 4), images.astype(np.int8), labels)
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint(np.asfortranarray(images)) == fingerprint(images)
    # As other programs would compute it: results folders outlive this one.
    content = b"<i4(3,)" + np.arange(3, dtype="<i4").tobytes()
    assert fingerprint(np.arange(3, dtype="<i4")) == hashlib.sha256(content).hexdigest()


def test_a_store_has_the_fingerprint_and_the_digests_of_its_pictures(images, monkeypatch):
    expected = fingerprint(images), digest_examples(images).tolist()
    for block in (7, 1000):
        monkeypatch.setattr(module, "BLOCK", block)
        store = Store(images)
        assert (fingerprint(store), digest_examples(store).tolist()) == expected
    assert fingerprint(images[::-1]) != expected[0]


def test_equal_examples_and_no_others_have_equal_digests(images):
    images = np.unique(images, axis=0)
    repeated = images[[0, 1, 0, 2, 1]]
    digests = digest_examples(repeated)
    assert digests.tolist() == digest_examples(images)[[0, 1, 0, 2, 1]].tolist()
    assert len(set(digest_examples(images).tolist())) == len(images)
    assert digests.dtype == np.uint64


def test_vectors_are_compared_by_value():
    counts = np.random.default_rng(0).integers(0, 9, (5, 4))
    digests = [digest_examples(counts.astype(kind)) for kind in ("uint8", "uint16", "float32")]
    for own in digests[1:]:
        np.testing.assert_array_equal(own, digests[0])


def test_a_fingerprint_is_the_only_pass_over_a_store(images):
    store = Store(images)
    fingerprint(store)
    digest_examples(store)
    assert store.num_read == 60


def test_digests_are_kept_no_longer_than_their_examples(images):
    before = len(module._DIGESTS)
    digest_examples(images)
    copies = [images.copy() for _ in range(3)]
    for copy in copies:
        fingerprint(copy)
    assert len(module._DIGESTS) == before + 4
    del copy, copies
    gc.collect()
    assert len(module._DIGESTS) == before + 1
