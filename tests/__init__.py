"""A package of its own, because a client that the tests install brings a package of the same name."""
