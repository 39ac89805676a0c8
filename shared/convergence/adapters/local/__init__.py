"""Embedded adapters: one laptop, one process that writes, no cloud."""
