"""All that needs SQLAlchemy, to be loaded at once when the first item operation is there."""

from runner.items import engines, failures, reading, tables, writing

__all__ = ["engines", "failures", "reading", "tables", "writing"]
