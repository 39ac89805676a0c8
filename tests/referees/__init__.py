"""Public validators of FOCUS: a second and a third opinion on the rows that pipelines make."""
