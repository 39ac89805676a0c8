"""The dashboard in a real browser: journeys, accessibility, the policy."""
