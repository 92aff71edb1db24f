"""What would these limits do: loads as people write them, the figures that count, and a plot."""
