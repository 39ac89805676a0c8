"""The REST API: routers by area that call the engine and return its views; business rules are elsewhere."""
