"""DeepSeek: what was spent, from its prepaid balance."""
