"""The paper's tables, and those of `docs/results.md`, made only from records."""

from reproduce.tables import comparison, devices, measurements, models
from reproduce.tables.forms import FORMATS
from reproduce.tables.registry import TABLES, Table, register, table

__all__ = [
    "FORMATS",
    "TABLES",
    "Table",
    "comparison",
    "devices",
    "measurements",
    "models",
    "register",
    "table",
]
