"""Table schemas: BigQuery schema files under `configs/`, read, checked and found by name."""
