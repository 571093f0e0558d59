"""Made-up run folders for the tests of reports, and one program for like runs."""

import shutil

import pytest

from common.experiment import report
from tests.made_up_runs import write_experiment


@pytest.fixture(autouse=True, scope="module")
def programs(shared_programs):
    del shared_programs


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """An experiment, and its report."""
    experiment = write_experiment(tmp_path_factory.mktemp("work"))
    return experiment, report.write_report([experiment])


@pytest.fixture
def experiment(written, tmp_path):
    """A copy of the experiment, to be spoilt."""
    return shutil.copytree(written[0], tmp_path / "digits")
