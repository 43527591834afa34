"""What a worker process does in test_embedded: it is imported there by name."""

import livequeue


def chain(sink: livequeue.Publisher, k: int) -> None:
    for i in range(200):
        sink({"type": "demo.draw/1", "part": f"chain-{k}", "seq": i})
    sink.flush()
