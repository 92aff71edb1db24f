"""Zeebe, seen over its documented HTTP. Experimental: made from the public documentation, not run against a broker."""
