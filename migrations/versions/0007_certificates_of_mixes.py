"""certificates of a mix, with the standard classifier's probabilities as evidence"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels: Any = None
depends_on: Any = None


def upgrade() -> None:
    json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
    with op.batch_alter_table("certificate") as certificate:
        certificate.add_column(sa.Column("standard", json, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("certificate") as certificate:
        certificate.drop_column("standard")
