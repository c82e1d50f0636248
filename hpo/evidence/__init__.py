"""Evidence for a transfer, measured by the job: coordinate check, ladder of widths, noise scale, horizons, scaling laws."""
