"""The source of the loops around a model's functions. Namedtuples are built inside the loop, where they cost nothing.

Arrays: x (n_theta, state, n_x), w (n_theta, n_x), theta (n_theta, parameters), ys (T, components), cov (T, covariates),
keys and increments (n_theta, from `offset` on).
"""

from __future__ import annotations

from livesmc2.model.state_space import Fields, StateSpaceModel

FILTER = """
def filter_block(rows, slots, x, w, theta, ys, cov, t0, t1, root, fresh, keys, increments, offset, threshold, scheme,
                 floors, faults):
    n = x.shape[2]
    ancestors = np.empty(n + 1, np.int32)
    ll = np.empty(n)
    old = np.empty((x.shape[1], n))
    remaining = np.zeros(t1 - t0 + 1)
    for r in range(len(rows)):
        m = rows[r]
        p = {theta}
        xm = x[m]
        wm = w[m]
        floor = floors[m]
        total = 0.0
        slot_key = subkey(root, slots[m])
{bound}
        for t in range(t0, t1):
            if fresh:
                keys[m, t - offset] = subkey(slot_key, t)
            key = keys[m, t - offset]
            a, b, c = seed_words(key)
            rng = make_rng(a, b, c)
            when = {when}
            y = {y}
            observed = {observed}
            if t == 0:
                for i in range(n):
                    {new} = as_tuple(initial(rng, p))
                    {store}
                    wm[i] = 1.0 / n
            else:
                if effective_sample_size(wm) < threshold * n:
                    resample(wm, key, scheme, ancestors)
                    for j in range(x.shape[1]):
                        for i in range(n):
                            old[j, i] = xm[j, i]
                        for i in range(n):
                            xm[j, i] = old[j, ancestors[i]]
                    for i in range(n):
                        wm[i] = 1.0 / n
{move}
            step = 0.0
            if observed:
{score}
                step, bad = weigh(wm, ll)
                faults[m] += bad
            increments[m, t - offset] = step
            total += step
            if floor > -np.inf and not total + remaining[t - t0 + 1] >= floor:
                increments[m, t - offset] = -np.inf
                break
"""

MOVE = """\
                for i in range(n):
                    {new} = as_tuple(transition(rng, {state}, p, when))
                    {store}
"""

GUIDED_MOVE = """\
                if observed:
                    for i in range(n):
                        {guided} = guide(rng, {state}, y, p, when)
                        {store}
                        ll[i] = ratio
                else:
                    for i in range(n):
                        {new} = as_tuple(transition(rng, {state}, p, when))
                        {store}
"""

SCORE = """\
                for i in range(n):
                    ll[i] = sum_of_present(log_likelihood(y, {state}, p, when), y)
"""

GUIDED_SCORE = """\
                if t == 0:
                    for i in range(n):
                        ll[i] = 0.0
                for i in range(n):
                    ll[i] += sum_of_present(log_likelihood(y, {state}, p, when), y)
"""

BOUND = """\
        if floor > -np.inf:
            remaining[t1 - t0] = 0.0
            for t in range(t1 - 1, t0 - 1, -1):
                y = {y}
                when = {when}
                bound = log_likelihood_bound(y, p, when) if {observed} else 0.0
                remaining[t - t0] = remaining[t - t0 + 1] + bound
"""

NO_BOUND = """\
        for t in range(t1 - t0 + 1):
            remaining[t] = 1e300
"""

CONDITIONAL = """
def conditional_block(rows, slots, x, w, path, corrections, lines, theta, ys, cov, t0, t1, root, keys, increments,
                      offset, threshold, scheme):
    n = x.shape[2]
    ancestors = np.empty(n + 1, np.int32)
    ll = np.empty(n)
    old = np.empty((x.shape[1], n))
    for r in range(len(rows)):
        m = rows[r]
        p = {theta}
        xm = x[m]
        wm = w[m]
        line = lines[m]
        slot_key = subkey(root, slots[m])
        for t in range(t0, t1):
            key = subkey(slot_key, t)
            keys[m, t - offset] = key
            a, b, c = seed_words(key)
            rng = make_rng(a, b, c)
            when = {when}
            y = {y}
            observed = {observed}
            if t == 0:
                for i in range(n):
                    {new} = as_tuple(initial(rng, p))
                    {store}
                    wm[i] = 1.0 / n
            else:
                if effective_sample_size(wm) < threshold * n:
                    line = resample_through(wm, key, scheme, line, ancestors)
                    for j in range(x.shape[1]):
                        for i in range(n):
                            old[j, i] = xm[j, i]
                        for i in range(n):
                            xm[j, i] = old[j, ancestors[i]]
                    for i in range(n):
                        wm[i] = 1.0 / n
{move}
            for j in range(x.shape[1]):
                xm[j, line] = path[m, t - t0, j]
            ll[line] = corrections[m, t - t0]
            step = 0.0
            if observed:
{score}
                step, bad = weigh(wm, ll)
            increments[m, t - offset] = step
        lines[m] = line
"""

TRACED = """
def traced_block(rows, x, w, theta, ys, cov, t0, t1, keys, offset, threshold, scheme, reference, reference_corrections,
                 lines, start, until, choice, path, corrections, origin):
    n = x.shape[2]
    ancestors = np.empty((t1 - t0, n + 1), np.int32)
    history = np.empty((t1 - t0, x.shape[1], n))
    ratios = np.zeros((t1 - t0, n))
    ll = np.empty(n)
    wm = np.empty(n)
    xm = np.empty((x.shape[1], n))
    for r in range(len(rows)):
        m = rows[r]
        p = {theta}
        line = lines[m]
        for i in range(n):
            wm[i] = w[m, i]
            for j in range(x.shape[1]):
                xm[j, i] = x[m, j, i]
        for t in range(t0, t1):
            key = keys[m, t - offset]
            a, b, c = seed_words(key)
            rng = make_rng(a, b, c)
            when = {when}
            y = {y}
            observed = {observed}
            chosen = ancestors[t - t0]
            for i in range(n):
                chosen[i] = i
            if t == 0:
                for i in range(n):
                    {new} = as_tuple(initial(rng, p))
                    {store}
                    wm[i] = 1.0 / n
            else:
                if effective_sample_size(wm) < threshold * n:
                    if t < until[m]:
                        line = resample_through(wm, key, scheme, line, chosen)
                    else:
                        resample(wm, key, scheme, chosen)
                    for j in range(x.shape[1]):
                        for i in range(n):
                            ll[i] = xm[j, i]
                        for i in range(n):
                            xm[j, i] = ll[chosen[i]]
                    for i in range(n):
                        wm[i] = 1.0 / n
{move}
            if t < until[m]:
                for j in range(x.shape[1]):
                    xm[j, line] = reference[m, t - start, j]
                ll[line] = reference_corrections[m, t - start]
            if observed:
{note}
{score}
                weigh(wm, ll)
            for j in range(x.shape[1]):
                for i in range(n):
                    history[t - t0, j, i] = xm[j, i]
        u = choice[m]
        last = 0
        total = wm[0]
        while u > total and last < n - 1:
            last += 1
            total += wm[last]
        for t in range(t1 - 1, t0 - 1, -1):
            for j in range(x.shape[1]):
                path[m, t - t0, j] = history[t - t0, j, last]
            corrections[m, t - t0] = ratios[t - t0, last]
            last = ancestors[t - t0, last]
        origin[m] = last
"""

GUIDED_NOTE = """\
                if t > 0:
                    for i in range(n):
                        ratios[t - t0, i] = ll[i]
"""

SIMULATE = """
def simulate_block(x, theta, cov, t0, root, out_x, out_y):
    xm = np.empty(x.shape[1])
    for i in range(x.shape[0]):
        p = {theta_of_draw}
        for j in range(x.shape[1]):
            xm[j] = x[i, j]
        draw_key = subkey(root, i)
        for h in range(out_x.shape[0]):
            a, b, c = seed_words(subkey(draw_key, h))
            rng = make_rng(a, b, c)
            t = t0 + h
            when = {when_of_draw}
            if t == 0:
                {new} = as_tuple(initial(rng, p))
            else:
                {new} = as_tuple(transition(rng, {state_of_draw}, p, when))
            {store_draw}
            for j in range(x.shape[1]):
                out_x[h, i, j] = xm[j]
{observe}
"""

OBSERVE = """\
            seen = as_tuple(observe(rng, {state_of_draw}, p, when))
            for k in range(out_y.shape[2]):
                out_y[h, i, k] = seen[k]
"""

LIKELIHOOD = """
def likelihood_block(x, theta, ys, cov, t, out):
    y = {y_first}
    when = {when_first}
    for i in range(x.shape[0]):
        p = {theta_of_draw}
        xm = x[i]
        out[i] = sum_of_present(log_likelihood(y, {state_of_draw}, p, when), y)
"""

BACKWARD = """
def backward_block(x, w, theta, cov, root, out):
    steps, n = x.shape[0], x.shape[2]
    m = 0
    p = {theta}
    ll = np.empty(n)
    wm = np.empty(n)
    for d in range(out.shape[0]):
        draw_key = subkey(root, d)
        for t in range(steps - 1, -1, -1):
            xm = x[t]
            for i in range(n):
                wm[i] = w[t, i]
            if t < steps - 1:
                when = {when_next}
                for i in range(n):
                    ll[i] = log_transition({state_next}, {state}, p, when)
                weigh(wm, ll)
            u = hashed_uniform(draw_key, t)
            last = 0
            total = wm[0]
            while u > total and last < n - 1:
                last += 1
                total += wm[last]
            for j in range(x.shape[1]):
                out[d, t, j] = xm[j, last]
"""


def _record(kind: str, fields: Fields, cell: str) -> str:
    """A call that builds a record from array cells: `State(xm[0, i], (xm[1, i], xm[2, i]))`."""
    parts = []
    for _, first, size in fields.places():
        cells = [cell.format(first + k) for k in range(size or 1)]
        parts.append(f"({', '.join(cells)},)" if size else cells[0])
    return f"{kind}({', '.join(parts)})"


def _store(fields: Fields, target: str) -> str:
    lines = []
    for place, (_, first, size) in enumerate(fields.places()):
        for k in range(size or 1):
            source = f"o{place}[{k}]" if size else f"o{place}"
            lines.append(f"{target.format(first + k)} = {source}")
    return "; ".join(lines)


def sources(model: StateSpaceModel) -> dict[str, str]:
    """The source of each loop that the model's functions allow, by the name of its function."""
    new = ", ".join(f"o{place}" for place in range(len(model.state_fields.sizes))) + ","
    width = model.observation_width
    covariates = len(model.covariates)

    def observation(row: str) -> str:
        cells = [f"ys[{row}, {k}]" for k in range(width)]
        return f"Observation({', '.join(cells)})" if model.observed else cells[0]

    def when(index: str, row: str) -> str:
        return f"Time({index}, {', '.join(f'cov[{row}, {k}]' for k in range(covariates))})" if covariates else index

    words = {
        "theta": _record("Theta", model.parameter_fields, "theta[m, {}]"),
        "theta_of_draw": _record("Theta", model.parameter_fields, "theta[i, {}]"),
        "state": _record("State", model.state_fields, "xm[{}, i]"),
        "state_of_draw": _record("State", model.state_fields, "xm[{}]"),
        "state_next": _record("State", model.state_fields, "out[d, t + 1, {}]"),
        "new": new,
        "guided": f"{new} ratio",
        "store": _store(model.state_fields, "xm[{}, i]"),
        "store_draw": _store(model.state_fields, "xm[{}]"),
        "when": when("t", "t"),
        "when_next": when("t + 1", "t + 1"),
        "when_of_draw": when("t", "h"),
        "when_first": when("t", "0"),
        "y": observation("t"),
        "y_first": observation("0"),
        "observed": " or ".join(f"ys[t, {k}] == ys[t, {k}]" for k in range(width)),
    }
    guided = model.guide is not None
    words["move"] = (GUIDED_MOVE if guided else MOVE).format(**words)
    words["note"] = GUIDED_NOTE if guided else ""
    words["score"] = (GUIDED_SCORE if guided else SCORE).format(**words)
    bounded = model.log_likelihood_bound is not None and not guided
    words["bound"] = (BOUND if bounded else NO_BOUND).format(**words)
    words["observe"] = "" if model.observe is None else OBSERVE.format(**words)
    made = {
        "filter_block": FILTER,
        "traced_block": TRACED,
        "conditional_block": CONDITIONAL,
        "simulate_block": SIMULATE,
        "likelihood_block": LIKELIHOOD,
    }
    if model.log_transition is not None:
        made["backward_block"] = BACKWARD
    return {name: template.format(**words) for name, template in made.items()}
