"""Pipelines as config: from the text that a user wrote to the plan that the engine runs."""
