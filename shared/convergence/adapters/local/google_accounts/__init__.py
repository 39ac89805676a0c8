"""Customers' Google accounts over plain HTTP."""
