"""HTTP of steps: a client over connections to checked addresses, with bounded answers."""
