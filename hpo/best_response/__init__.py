"""Best-response tuning: networks that learn, while they train, how their weights depend on the regularisers."""
