"""Parquet files, as far as reading them exactly needs their own metadata."""
