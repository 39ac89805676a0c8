"""Where the records of an extractor land: a table with a schema file, a raw one, or one with inferred columns."""
