"""The paper's tables, and those of `docs/results.md`, made only from records."""

from reproduce.tables import comparison, measurements, models
from reproduce.tables.forms import FORMATS
from reproduce.tables.registry import TABLES, Table, register, table

__all__ = [
    "FORMATS",
    "TABLES",
    "Table",
    "comparison",
    "measurements",
    "models",
    "register",
    "table",
]
