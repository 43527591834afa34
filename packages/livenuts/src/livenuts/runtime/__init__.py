"""Running chains: the compiled loop over transitions, threads, messages, progress."""
