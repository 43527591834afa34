"""Bayesian statistical process control: a predictive chart, online changepoint detection, and NUTS for the change."""
