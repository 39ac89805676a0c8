"""HTTP for processors: client, authentication, paging, limits."""
