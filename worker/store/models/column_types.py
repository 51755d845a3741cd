"""What the tables have in common: their base, the types of their columns, times by the database's clock."""

import json
from typing import Any, ClassVar, TypeVar

from sqlalchemy import JSON, BigInteger, Dialect, Float, MetaData, String, TypeDecorator, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from radii.rs_core.storable_text import storable
from radii.worker.store.clock import clock
from radii.worker.store.specifications import JobSpec, Plan, dump_spec, load_plan, load_spec

T = TypeVar("T")

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Id = String(40)


class StoredText(TypeDecorator[str]):
    """Text from anywhere, such as an error's: NUL and lone surrogates are stored as escapes, on every database."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """What is stored."""
        return None if value is None else str(storable(value))


class _Record(TypeDecorator[T]):
    """A record as JSON."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """JSONB on PostgreSQL."""
        return dialect.type_descriptor(Json.dialect_impl(dialect))

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """Fields of the JSON are compared as such."""
        return self.impl_instance.coerce_compared_value(op, value)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """What is stored."""
        return None if value is None else dump_spec(value)


class SpecColumn(_Record[JobSpec]):
    """What a job was asked for."""

    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> JobSpec | None:
        """The record."""
        return None if value is None else load_spec(value)


class PlanColumn(_Record[Plan]):
    """What planning has chosen for a job."""

    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> Plan | None:
        """The record."""
        return None if value is None else load_plan(value)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dict[str, Any]: Json,
        list[Any]: Json,
        str: StoredText,
        float: Float(53),
        int: BigInteger,
    }


def created() -> Mapped[float]:
    """A column of when the row was written."""
    return mapped_column(default=clock())


def json_size(*values: Any) -> int:
    """Bytes of values as JSON, as a row stores them; what is empty or None takes none."""
    return sum(len(json.dumps(value)) for value in values if value)


def partial(condition: str) -> dict[str, Any]:
    """The arguments of an index over the rows that meet the condition, on both databases."""
    return {f"{dialect}_where": text(condition) for dialect in ("sqlite", "postgresql")}
