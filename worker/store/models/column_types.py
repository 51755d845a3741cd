"""What the tables have in common: their base, the types of their columns, times by the database's clock."""

import json
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Dialect, Float, MetaData, String, TypeDecorator, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from radii.rs_core.storable_text import storable
from radii.worker.store.clock import clock

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Id = String(40)


class StoredText(TypeDecorator[str]):
    """Text from anywhere, such as an error's: NUL and lone surrogates are stored as escapes, on every database."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """What is stored."""
        return None if value is None else str(storable(value))


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
