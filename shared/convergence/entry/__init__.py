"""Ways in: the command line, the API, the dashboard, push endpoints."""
