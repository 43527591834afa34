"""A damaged file of a snapshot is refused with its name; none of it reaches the kernel."""

import io

import numpy as np
import pytest
from livesim import Model, Snapshot, arrive, depart, exponential, hold, release, run, seize

SHOP = (
    Model("shop")
    .resource("barber")
    .process(
        "customer",
        arrive(every=exponential(mean=2)),
        seize("barber"),
        hold(exponential(mean=1)),
        release("barber"),
        depart(),
    )
)


def saved():
    return run(SHOP, until=50, seed=1).snapshot.to_bytes()


def test_bytes_changed_anywhere():
    data, rng = saved(), np.random.default_rng(5)
    refused, whole = 0, run(SHOP, 60, seed=1).values()
    for _ in range(300):
        damaged = bytearray(data)
        for at in rng.integers(len(data), size=rng.integers(1, 4)).tolist():
            damaged[at] ^= int(rng.integers(1, 256))
        if rng.random() < 0.3:
            del damaged[int(rng.integers(len(data))) :]
        try:
            snapshot = Snapshot.from_bytes(bytes(damaged), "shop.npz")
        except ValueError as error:
            refused += str(error).startswith("shop.npz: ")
        else:  # such as a date in the archive, which says nothing
            refused += run(SHOP, 60, start=snapshot).values() == whole
    assert refused == 300


@pytest.mark.parametrize("name", ["jobs", "event_keys", "pending", "levels"])
@pytest.mark.parametrize("change", ["drop", "cut", "flip"])
def test_arrays_that_are_not_those_saved(name, change):
    with np.load(io.BytesIO(saved())) as file:
        arrays = {name: file[name].copy() for name in file.files}
    if change == "drop":
        del arrays[name]
    elif change == "cut":
        arrays[name] = arrays[name].reshape(-1)[:-1]
    else:
        raw = bytearray(arrays[name].tobytes())
        raw[0] ^= 1
        arrays[name] = np.frombuffer(bytes(raw), arrays[name].dtype).reshape(arrays[name].shape)
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    with pytest.raises(ValueError, match="the data: the snapshot is damaged"):
        Snapshot.from_bytes(file.getvalue())


@pytest.mark.parametrize("data", [b"", b"nothing", b"PK\x03\x04", b"\x93NUMPY\x01\x00v\x00{}"])
def test_another_kind_of_file(data):
    with pytest.raises(ValueError, match=r"x\.npz: not a livesim snapshot"):
        Snapshot.from_bytes(data, "x.npz")
