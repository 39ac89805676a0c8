"""A deployment on Google Cloud, compared with what the code declares. It is read only."""
