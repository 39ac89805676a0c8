"""Files of rows into tables: where they are, which belong together, and how they are loaded."""
