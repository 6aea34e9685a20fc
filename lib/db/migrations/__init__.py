from sqlalchemy import Engine
from sqlmodel import SQLModel


def upgrade(engine: Engine) -> None:
    import lib.db.tables  # noqa: F401

    SQLModel.metadata.create_all(engine)
