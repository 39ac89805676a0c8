"""Where GoogleSQL and DuckDB differ: one rule for each class of node."""
