"""Tools of a release: what is packaged, and what Terraform gets from the code."""
