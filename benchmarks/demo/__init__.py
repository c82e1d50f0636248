"""The demonstration: tune a proxy on digits, transfer to width 1024, train there, compare, report."""
