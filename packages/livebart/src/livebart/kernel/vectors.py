"""The passes over the data, as LLVM vectors of sixteen rows.

They are written lane by lane, not left to a compiler's vectoriser, so a sum has the same order of additions on every
machine. Within a block of `BLOCK` vectors sums are float32 lanes; across blocks they are float64 lanes.

`fused` is the one pass that a tree update makes over the data: it takes the change of the tree before from the
residual, and sums the residual over the leaves of the next tree and over the rows that a proposed split sends right.
Trees have few leaves, so a sum per leaf is a masked addition, and the table of changes is a chain of selections. There
is a loop for each number of leaves in `SPECIAL`; larger trees go through `change` and `tally`, eight labels at a time.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from livebart.kernel.layout import LANES

SPECIAL = (2, 3, 4)
GROUP = 8
BLOCK = 128

_BYTES = ir.VectorType(ir.IntType(8), LANES)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_FLOAT, _DOUBLE = ir.FloatType(), ir.DoubleType()


class _Pass:
    """Emits one loop: what is loaded, the sums that are carried, where they are put."""

    def __init__(self, builder, chunks):
        self.builder, self.chunks = builder, chunks
        self.sums = []  # of float lanes: (alloca of the block's, alloca of the whole's)
        self.counts = []

    def load(self, address, chunk, kind, bytes_a_row):
        offset = self.builder.mul(chunk, ir.Constant(_I64, LANES * bytes_a_row))
        pointer = self.builder.inttoptr(self.builder.add(address, offset), kind.as_pointer())
        return self.builder.load(pointer, align=bytes_a_row), pointer

    def new_sum(self):
        pair = (
            cgutils.alloca_once(self.builder, _FLOATS),
            cgutils.alloca_once(self.builder, _DOUBLES),
        )
        self.builder.store(ir.Constant(_DOUBLES, None), pair[1])
        self.sums.append(pair)
        return pair

    def new_count(self):
        place = cgutils.alloca_once(self.builder, _I64)
        self.builder.store(ir.Constant(_I64, 0), place)
        self.counts.append(place)
        return place

    def add(self, pair, value, mask=None):
        old = self.builder.load(pair[0])
        new = self.builder.fadd(old, value)
        self.builder.store(new if mask is None else self.builder.select(mask, new, old), pair[0])

    def count(self, place, mask):
        bits = self.builder.ctpop(self.builder.bitcast(mask, _I16))
        self.builder.store(self.builder.add(self.builder.load(place), self.builder.zext(bits, _I64)), place)

    def run(self, body):
        """`body(chunk)` for every chunk, in blocks."""
        builder = self.builder
        block = ir.Constant(_I64, BLOCK)
        blocks = builder.udiv(builder.add(self.chunks, ir.Constant(_I64, BLOCK - 1)), block)
        with cgutils.for_range(builder, blocks, intp=_I64) as outer:
            start = builder.mul(outer.index, block)
            left = builder.sub(self.chunks, start)
            size = builder.select(builder.icmp_unsigned("<", left, block), left, block)
            for lanes, _ in self.sums:
                builder.store(ir.Constant(_FLOATS, None), lanes)
            with cgutils.for_range(builder, size, intp=_I64) as inner:
                body(builder.add(start, inner.index))
            for lanes, whole in self.sums:
                widened = builder.fpext(builder.load(lanes), _DOUBLES)
                builder.store(builder.fadd(builder.load(whole), widened), whole)

    def total(self, pair):
        """The sum of the lanes, in a fixed order."""
        vector = self.builder.load(pair[1])
        width = LANES
        while width > 1:
            width //= 2
            halves = [
                self.builder.shuffle_vector(
                    vector,
                    ir.Constant(vector.type, ir.Undefined),
                    ir.Constant(ir.VectorType(_I32, width), list(range(first, first + width))),
                )
                for first in (0, width)
            ]
            vector = self.builder.fadd(*halves)
        return self.builder.extract_element(vector, ir.Constant(_I32, 0))

    def finish(self, sums_address, counts_address):
        """Write all sums and counts, in order of their making."""
        for place, pair in enumerate(self.sums):
            self._write(sums_address, place, self.total(pair), _DOUBLE)
        for place, count in enumerate(self.counts):
            self._write(counts_address, place, self.builder.load(count), _I64)

    def _write(self, address, place, value, kind):
        pointer = self.builder.inttoptr(self.builder.add(address, ir.Constant(_I64, 8 * place)), kind.as_pointer())
        self.builder.store(value, pointer)


def _splat(builder, value, kind):
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_I32, 0))
    zeros = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)


def _labels_equal(builder, labels, number):
    return builder.icmp_unsigned("==", labels, ir.Constant(_BYTES, [number] * LANES))


class _Split:
    """The rows of one leaf, or of two, that a split sends right: their sums and counts."""

    def __init__(self, loop, leaves, split, weighted):
        codes, leaf, sibling, low, width = split
        builder = loop.builder
        self.loop, self.codes, self.weighted = loop, codes, weighted
        self.leaves = [_splat(builder, label, _BYTES) for label in (leaf, sibling)[:leaves]]
        self.low, self.width = _splat(builder, low, _BYTES), _splat(builder, width, _BYTES)
        self.sums = [loop.new_sum() for _ in self.leaves]
        self.weights = [loop.new_sum() for _ in self.leaves] if weighted else []
        self.counts = [loop.new_count() for _ in self.leaves]

    def add(self, chunk, labels, value, weight):
        loop, builder = self.loop, self.loop.builder
        codes, _ = loop.load(self.codes, chunk, _BYTES, 1)
        right = builder.icmp_unsigned("<=", builder.sub(codes, self.low), self.width)
        for place, leaf in enumerate(self.leaves):
            mask = builder.and_(right, builder.icmp_unsigned("==", labels, leaf))
            loop.add(self.sums[place], value, mask)
            if self.weighted:
                loop.add(self.weights[place], weight, mask)
            loop.count(self.counts[place], mask)


def _emit_fused(builder, chunks, arguments, before, leaves, split_leaves, weighted):
    residual, weights, labels_before, changes, labels, split, sums_address, counts_address = arguments
    loop = _Pass(builder, chunks)
    table = []
    for label in range(before):
        pointer = builder.inttoptr(builder.add(changes, ir.Constant(_I64, 4 * label)), _FLOAT.as_pointer())
        table.append(_splat(builder, builder.load(pointer), _FLOATS))
    sums = [loop.new_sum() for _ in range(leaves)]
    split_sums = _Split(loop, split_leaves, split, weighted) if split_leaves else None

    def body(chunk):
        value, place = loop.load(residual, chunk, _FLOATS, 4)
        old, _ = loop.load(labels_before, chunk, _BYTES, 1)
        change = table[0]
        for label in range(1, before):
            change = builder.select(_labels_equal(builder, old, label), table[label], change)
        value = builder.fsub(value, change)
        builder.store(value, place, align=4)
        weight = None
        if weighted:
            weight, _ = loop.load(weights, chunk, _FLOATS, 4)
            value = builder.fmul(value, weight)
        new, _ = loop.load(labels, chunk, _BYTES, 1)
        loop.add(sums[0], value)
        for label in range(1, leaves):
            loop.add(sums[label], value, _labels_equal(builder, new, label))
        if split_sums is not None:
            split_sums.add(chunk, new, value, weight)

    loop.run(body)
    loop.finish(sums_address, counts_address)


def _emit_change(builder, chunks, residual, labels_before, first, changes):
    loop = _Pass(builder, chunks)
    table = []
    for label in range(GROUP):
        pointer = builder.inttoptr(builder.add(changes, ir.Constant(_I64, 4 * label)), _FLOAT.as_pointer())
        table.append(_splat(builder, builder.load(pointer), _FLOATS))
    base = _splat(builder, first, _BYTES)

    def body(chunk):
        value, place = loop.load(residual, chunk, _FLOATS, 4)
        old, _ = loop.load(labels_before, chunk, _BYTES, 1)
        old = builder.sub(old, base)
        change = ir.Constant(_FLOATS, None)
        for label in range(GROUP):
            change = builder.select(_labels_equal(builder, old, label), table[label], change)
        builder.store(builder.fsub(value, change), place, align=4)

    loop.run(body)


def _emit_tally(builder, chunks, arguments, split_leaves, weighted):
    residual, weights, labels, first, split, sums_address, counts_address = arguments
    loop = _Pass(builder, chunks)
    sums = [loop.new_sum() for _ in range(GROUP)]
    split_sums = _Split(loop, split_leaves, split, weighted) if split_leaves else None
    base = _splat(builder, first, _BYTES)

    def body(chunk):
        value, _ = loop.load(residual, chunk, _FLOATS, 4)
        weight = None
        if weighted:
            weight, _ = loop.load(weights, chunk, _FLOATS, 4)
            value = builder.fmul(value, weight)
        raw, _ = loop.load(labels, chunk, _BYTES, 1)
        new = builder.sub(raw, base)
        for label in range(GROUP):
            loop.add(sums[label], value, _labels_equal(builder, new, label))
        if split_sums is not None:
            split_sums.add(chunk, raw, value, weight)

    loop.run(body)
    loop.finish(sums_address, counts_address)


_ADDRESS, _COUNT, _BYTE = types.uintp, types.intp, types.uint8
_NOTHING = types.int64


def _make_fused(weighted):
    @intrinsic
    def fused(
        context,
        kind,
        chunks,
        residual,
        weights,
        before,
        changes,
        labels,
        codes,
        leaf,
        sibling,
        low,
        width,
        sums,
        counts,
    ):
        """One pass, `kind` = (place of the leaves before * 3 + place of the leaves) * 3 + leaves that a split parts.

        Sums, float64: of all rows, of labels 1, 2, ..., then of the rows sent right from `leaf` and from `sibling`,
        then their weights. Counts, int64: of the rows sent right.
        """
        signature = _NOTHING(_COUNT, _COUNT, *(_ADDRESS,) * 6, *(_BYTE,) * 4, _ADDRESS, _ADDRESS)

        def generate(context, builder, signature, arguments):
            kind, chunks, residual, weights, before, changes, labels, codes = arguments[:8]
            split = (codes, *arguments[8:12])
            passed = (residual, weights, before, changes, labels, split, *arguments[12:])
            end = builder.append_basic_block("end")
            switch = builder.switch(kind, end)
            for i, leaves_before in enumerate(SPECIAL):
                for j, leaves in enumerate(SPECIAL):
                    for split_leaves in range(3):
                        block = builder.append_basic_block(f"pass_{leaves_before}_{leaves}_{split_leaves}")
                        switch.add_case(ir.Constant(_I64, (i * len(SPECIAL) + j) * 3 + split_leaves), block)
                        builder.position_at_end(block)
                        _emit_fused(builder, chunks, passed, leaves_before, leaves, split_leaves, weighted)
                        builder.branch(end)
            builder.position_at_end(end)
            return ir.Constant(_I64, 0)

        return signature, generate

    return fused


def _make_tally(weighted):
    @intrinsic
    def tally(
        context, split_leaves, chunks, residual, weights, labels, first, codes, leaf, sibling, low, width, sums, counts
    ):
        """Sums over `GROUP` labels from `first` on, then, if a split parts leaves, as `fused`."""
        signature = _NOTHING(_COUNT, _COUNT, *(_ADDRESS,) * 3, _BYTE, _ADDRESS, *(_BYTE,) * 4, _ADDRESS, _ADDRESS)

        def generate(context, builder, signature, arguments):
            kind, chunks, residual, weights, labels, first, codes = arguments[:7]
            split = (codes, *arguments[7:11])
            passed = (residual, weights, labels, first, split, *arguments[11:])
            end = builder.append_basic_block("end")
            switch = builder.switch(kind, end)
            for split_leaves in range(3):
                block = builder.append_basic_block(f"tally_{split_leaves}")
                switch.add_case(ir.Constant(_I64, split_leaves), block)
                builder.position_at_end(block)
                _emit_tally(builder, chunks, passed, split_leaves, weighted)
                builder.branch(end)
            builder.position_at_end(end)
            return ir.Constant(_I64, 0)

        return signature, generate

    return tally


fused, fused_weighted = _make_fused(False), _make_fused(True)
tally, tally_weighted = _make_tally(False), _make_tally(True)


@intrinsic
def change(context, chunks, residual, labels, first, changes):
    """Take `changes` of labels `first` to `first + GROUP - 1` from the residual."""
    signature = _NOTHING(_COUNT, _ADDRESS, _ADDRESS, _BYTE, _ADDRESS)

    def generate(context, builder, signature, arguments):
        _emit_change(builder, *arguments)
        return ir.Constant(_I64, 0)

    return signature, generate


def _make_squares(weighted):
    @intrinsic
    def squares(context, chunks, residual, weights, sums):
        """The sum of squares of the residual, float64."""
        signature = _NOTHING(_COUNT, _ADDRESS, _ADDRESS, _ADDRESS)

        def generate(context, builder, signature, arguments):
            chunks, residual, weights, sums = arguments
            loop = _Pass(builder, chunks)
            whole = loop.new_sum()

            def body(chunk):
                value, _ = loop.load(residual, chunk, _FLOATS, 4)
                square = builder.fmul(value, value)
                if weighted:
                    weight, _ = loop.load(weights, chunk, _FLOATS, 4)
                    square = builder.fmul(square, weight)
                loop.add(whole, square)

            loop.run(body)
            loop.finish(sums, sums)
            return ir.Constant(_I64, 0)

        return signature, generate

    return squares


squares, squares_weighted = _make_squares(False), _make_squares(True)
