"""FOCUS 1.3: rules, whether rows follow them, and how checked rows become visible."""
