"""The typed client for front ends."""
