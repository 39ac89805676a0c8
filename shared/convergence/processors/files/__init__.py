"""Files of rows into tables: where they are, which belong together, what they become."""
