"""Filters, the engine, its forecasts, its files."""
