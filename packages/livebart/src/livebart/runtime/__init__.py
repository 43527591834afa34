"""Running chains: threads or an executor, messages, checkpoints, progress."""
