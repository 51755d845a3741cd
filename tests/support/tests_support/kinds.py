"""Tests with real processes take long: each on one kind of database in every run, and on the other among the slow ones."""

import pytest

SLOWLY_ON_SQLITE = pytest.mark.parametrize(
    "database_url", [pytest.param("sqlite", marks=pytest.mark.slow), "postgresql"], indirect=True
)
SLOWLY_ON_POSTGRES = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)
