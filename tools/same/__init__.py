"""The parts of ``tools/same_results.py``: the cases, the run of one checkout, the comparison."""
