"""The REST API: routers by area over the engine's verbs and views; no rule lives here."""
