"""OpenAI: usage, cost, prices."""
