"""Public traces read as fleets, arrivals, prices and availability: strict, and silent about nothing."""
