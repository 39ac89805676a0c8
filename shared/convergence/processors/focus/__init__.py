"""FOCUS 1.3: its rules, the check of rows against them, and the publication of checked rows."""
