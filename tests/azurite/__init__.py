"""Azurite: Azure's Blob Storage on this machine."""
