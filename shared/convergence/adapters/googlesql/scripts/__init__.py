"""BigQuery's procedural language, parsed into a tree."""
