"""Bills of OCI."""
