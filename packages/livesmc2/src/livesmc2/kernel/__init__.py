"""Random numbers, samplers, weights: what compiled loops are made of."""
