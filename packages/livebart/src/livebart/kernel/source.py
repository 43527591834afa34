"""A digest of the kernel's sources.

Numba's cache knows a function's own file only. A cached function that refers to this digest, as a variable of the
function around it, is compiled anew when any file of the kernel changes.
"""

import functools
import hashlib
from pathlib import Path


@functools.cache
def digest() -> str:
    """Of every file of the kernel, in order of their names."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()
