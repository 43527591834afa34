"""Machine code: functions that Numba compiles together into one module, kept on disk and loaded without Numba."""
