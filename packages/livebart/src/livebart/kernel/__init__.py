"""The compiled sampler: layout of its arrays, vector passes over the data, moves, sweeps, prediction."""
