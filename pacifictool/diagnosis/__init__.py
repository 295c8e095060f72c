"""Finds out what is wrong: `doctor` looks at everything that a run needs, `trace` follows one reading hop by hop.

Changes nothing, except that a trace adds its one reading. Above the working packages and below the command line.
"""
