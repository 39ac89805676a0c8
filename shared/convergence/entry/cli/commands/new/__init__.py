"""`convergence new`: the first files of a provider, pipeline, processor or procedure."""
