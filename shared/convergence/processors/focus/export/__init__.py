"""FOCUS data sets as files: one bundle for each billing period."""
