"""What strangers and broken machines do to llama-gene, done on purpose: ``make torture``.

The tiny recipe is run once and left whole. Then runs are killed, disks filled, folders closed and bytes damaged, and
each time the tool has to end in the right result or in an error that says what is wrong. `__main__` does all of it and
writes ``docs/faults.md``; ``tests/test_torture.py`` is the short form, which the whole suite runs.
"""
