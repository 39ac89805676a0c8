"""SaaS subscriptions: plans that the org keeps itself, spread over the days they pay for."""
