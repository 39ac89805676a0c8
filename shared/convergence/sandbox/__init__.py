"""Provider APIs on loopback, replaying published figures: what the demo and the tests talk to."""

from convergence.sandbox.server import ADMIN_KEY, Sandbox

__all__ = ["ADMIN_KEY", "Sandbox"]
