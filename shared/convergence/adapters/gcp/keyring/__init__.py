"""Envelope encryption under Cloud KMS."""
