"""What steps do: one module per `ps_type`, found by its path (`openai.usage` is `openai/usage.py`)."""
