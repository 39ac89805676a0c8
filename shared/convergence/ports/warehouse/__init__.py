"""Tables, slices and SQL. The dialect is GoogleSQL on every adapter.

Rows first land in a `Stage`, invisible to readers; `load` makes them visible in one transaction. The seven
lineage columns (`LINEAGE_COLUMNS`) are added by the warehouse, never by a processor.
"""

from convergence.ports.warehouse.files import BadRow, FileFormat, RowFile, StagedFile
from convergence.ports.warehouse.records import (
    CENTRAL_TABLES,
    LINEAGE_COLUMNS,
    OWN_LOGS,
    PARTITION_BY,
    SHARED_DATASET,
    Column,
    Effect,
    JobSettings,
    Lineage,
    Load,
    LoadResult,
    Parameter,
    ProcedureCall,
    QueryResult,
    Routine,
    Row,
    Scope,
    Statement,
    TableSchema,
    WriteMode,
)
from convergence.ports.warehouse.roles import (
    ExpiredRows,
    ParquetWriter,
    Routines,
    RowRemover,
    Stage,
    StagedRows,
    Tables,
    Warehouse,
)

__all__ = [
    "CENTRAL_TABLES",
    "LINEAGE_COLUMNS",
    "OWN_LOGS",
    "PARTITION_BY",
    "SHARED_DATASET",
    "BadRow",
    "Column",
    "Effect",
    "ExpiredRows",
    "FileFormat",
    "JobSettings",
    "Lineage",
    "Load",
    "LoadResult",
    "Parameter",
    "ParquetWriter",
    "ProcedureCall",
    "QueryResult",
    "Routine",
    "Routines",
    "Row",
    "RowFile",
    "RowRemover",
    "Scope",
    "Stage",
    "StagedFile",
    "StagedRows",
    "Statement",
    "TableSchema",
    "Tables",
    "Warehouse",
    "WriteMode",
]
