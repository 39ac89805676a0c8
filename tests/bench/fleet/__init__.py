"""A night of 10,000 orgs: the engine on virtual time, against limits that Google publishes."""
