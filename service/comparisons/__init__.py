"""Jobs side by side: curves over cost, points tried, importances, differences in spec and result."""
