"""Best-response tuning: networks that learn, while they train, how their weights answer to the regularisers."""
