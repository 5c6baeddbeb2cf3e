"""One Dagster instance for all tests of this folder."""

import dagster as dg
import pytest


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> dg.DagsterInstance:
    """Lives as long as the tests: Dagster 1.13 keeps a context variable to the last instance it has entered, and
    loading definitions fails once that one is gone."""
    return dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster")))
