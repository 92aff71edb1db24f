"""What record exporters export to, in tests: real servers, and stubs that can be told to misbehave."""
