"""What holds for all tests."""

from hypothesis import settings

# How long an example takes is the machine's affair, which has others to serve; what hangs is ended by pytest-timeout.
settings.register_profile("penstock", deadline=None)
settings.load_profile("penstock")
