"""Where a worker process begins. The parent starts it: `python -P …/engine/workers/__main__.py DESCRIPTOR PATH`.

DESCRIPTOR is the worker's end of the control connection, PATH the parent's import path as JSON: what can be imported
there can be imported here.
"""

import json
import sys

if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[2])
    from engine.runtime.arenas import keep_few_arenas
    from engine.workers.worker import main

    keep_few_arenas()
    main(int(sys.argv[1]))
