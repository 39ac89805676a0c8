"""The same GoogleSQL on the embedded warehouse and on an emulator of BigQuery."""
