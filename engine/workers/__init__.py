"""A pipeline over several processes: one parent that runs no user code, and workers that have a share of it each.

The parent's side is `engine.py` (the door and the supervision), the worker's side `worker.py`. Between workers run
links (`link.py`), on which buffers, credits and messages travel; between parent and worker a control connection.
"""
