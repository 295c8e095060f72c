"""The tests, and what they share (`tests.support`)."""

import os
import sys

# What Python and pytest compile is kept for the next process, whatever the environment says: to compile the assertions of
# all files takes 22 s of processor time, and each worker needs them.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
