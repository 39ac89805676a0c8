"""What the engine costs, measured: `python -m tests.bench SHAPE`."""
