"""The libraries of Node are left out where `.ci/run` could not get them; it says so."""

import os

collect_ignore = ["test_node_libraries.py"] if os.environ.get("RESILAB_WITHOUT_NODE") else []
