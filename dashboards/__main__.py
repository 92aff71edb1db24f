"""`python -m dashboards build|check [FOLDER]`."""

import sys

from dashboards.build import main

sys.exit(main(sys.argv[1:]))
