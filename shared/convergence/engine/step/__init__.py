"""One delivery of a step, from the claim to the commit of its end."""
