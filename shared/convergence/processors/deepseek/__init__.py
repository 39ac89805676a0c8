"""DeepSeek: the amount spent, from its prepaid balance."""
