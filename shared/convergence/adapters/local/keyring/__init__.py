"""Encryption under a key file."""
