"""A Python process, seen from outside by the stacks of its threads."""
