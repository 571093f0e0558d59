"""Preparation of tiny data sets."""

from pathlib import Path

import pytest


@pytest.fixture
def prepare(tmp_path):
    """Prepares a data set as ArrayRecord and returns its builder."""

    def run(builder_class, manual_dir: Path | None = None, **arguments):
        import tensorflow_datasets as tfds

        builder = builder_class(data_dir=tmp_path / "prepared", **arguments)
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                manual_dir=manual_dir, try_download_gcs=False
            ),
            file_format="array_record",
        )
        return builder

    return run
