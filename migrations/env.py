"""Alembic's entry: runs the migrations on a connection that it is given, or on the database of the settings."""

from alembic import context
from sqlalchemy import Connection

from radii.worker.settings import Settings
from radii.worker.store.database import make_engine
from radii.worker.store.models import result_tables, tables  # noqa: F401  (so that Base knows of them)
from radii.worker.store.models.column_types import Base


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with make_engine(Settings().url).connect() as connection:
        _run(connection)
        connection.commit()
