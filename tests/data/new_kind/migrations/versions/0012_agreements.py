"""how often classifiers under noise agree with themselves without noise"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels: Any = None
depends_on: Any = None


def upgrade() -> None:
    op.create_table(
        "agreement",
        sa.Column("job_id", sa.String(40), sa.ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("index", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("label", "plain", "agreeing", "n")),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("batch_size", sa.Integer, nullable=True),
        sa.Column("error", sa.String, nullable=True),
    )


def downgrade() -> None:
    op.drop_table("agreement")
