"""What a model and a prior are: data and checks."""
