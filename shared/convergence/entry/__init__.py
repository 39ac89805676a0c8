"""Ways in: the command line, the API and the push endpoints."""
