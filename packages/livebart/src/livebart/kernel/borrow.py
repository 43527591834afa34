"""Arrays without reference counts.

Numba counts references atomically wherever an array is sliced, passed or taken from a tuple, some fifty times in one
tree's update, which took three times as long as the update itself. An entry of the kernel borrows what it was given:
its caller holds the arrays until it returns, and LLVM drops every count of a null pointer.
"""

from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def borrowed(context, array):
    """The same array, its owner left out. It must not outlive the one that is given."""
    signature = array(array)

    def generate(context, builder, signature, arguments):
        view = cgutils.create_struct_proxy(signature.return_type)(context, builder, arguments[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return signature, generate
