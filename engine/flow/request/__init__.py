"""The adaptive limit on user commands in flight: the rule, six ways to compute it, and the slots it counts."""
