"""GoogleSQL on DuckDB: types, translation of statements, and the interpreter of scripts and procedures."""
