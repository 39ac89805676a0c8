"""The normalised model of a pipeline, its errors and its JSON Schema."""
