"""The parts of ``tools/same_results.py``: the cases, what else is asked, the run of one checkout, the comparison."""
