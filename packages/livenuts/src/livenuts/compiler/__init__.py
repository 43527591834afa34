"""The compiler: from a model to a flat log density and back to named, constrained values."""
