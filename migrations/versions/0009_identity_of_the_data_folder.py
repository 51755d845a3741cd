"""the identity of the data folder, which services and workers compare with the folder that they have"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels: Any = None
depends_on: Any = None


def upgrade() -> None:
    op.create_table(
        "data_folder",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("path", sa.String(length=4096), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_data_folder")),
    )


def downgrade() -> None:
    op.drop_table("data_folder")
