"""Seven state-space benchmark cases, plus one acceptance case, for `particles`.

Requires particles==0.4, which needs numpy<2, and scipy.
Tested with Python 3.11, numpy 1.26.4, scipy 1.17.1; no other versions tried.
particles 0.4 itself declares numpy<2.

    python smc2_particles.py --list
    python smc2_particles.py NAME [N_theta N_x T n_moves seed] [--waste-free] [--seeds R]
    python smc2_particles.py NAME --data  [--T 50]
    python smc2_particles.py NAME --exact [--T 50]      # lg and hmm only

Each call prints one line of JSON.  NAME is one of
lg, sv, seir, gordon, theta, hmm, cox, flu.

Data.  Nothing is read from disk.  `cox` (major earthquakes 1900-2006) and
`flu` (boarding school 1978) are short tables of facts, typed in.  Every other
series is simulated here from the model's default parameters, once, at its full
length and from a fixed seed; asking for a smaller T truncates that series, so
the first 50 values are the same whatever T is.  `sv` and `theta` are often run
on exchange-rate returns (750 values) and an animal census (120 values) whose
licences are unclear; here both are simulated, at those lengths.
"""

# ruff: noqa: NPY002, RUF012, E741 - particles draws from NumPy's global generator
import argparse
import json
import time
import warnings

import numpy as np
import particles
from particles import distributions as dists
from particles import smc_samplers as ssp
from particles import state_space_models as ssm
from particles.collectors import Moments
from scipy import special

warnings.filterwarnings("ignore")

DATA_SEED = 20260801


# ---------- 1. lg: linear Gaussian, exact evidence by Kalman ----------
class LG(ssm.StateSpaceModel):
    """X_t = rho X_{t-1} + sigmaX V_t,  Y_t = X_t + sigmaY W_t, stationary start."""

    default_params = {"rho": 0.9, "sigmaX": 1.0, "sigmaY": 1.0}

    def PX0(self):
        return dists.Normal(scale=self.sigmaX / np.sqrt(1.0 - self.rho**2))

    def PX(self, t, xp):
        return dists.Normal(loc=self.rho * xp, scale=self.sigmaX)

    def PY(self, t, xp, x):
        return dists.Normal(loc=x, scale=self.sigmaY)


lg_prior = dists.StructDist(
    {
        "rho": dists.Uniform(a=-1.0, b=1.0),
        "sigmaX": dists.Gamma(a=2.0, b=2.0),
        "sigmaY": dists.Gamma(a=2.0, b=2.0),
    }
)


def kalman_loglik(th, y):
    """Exact log-likelihood of the `lg` case, one value per entry of `th`."""
    r, q, h = th["rho"], th["sigmaX"] ** 2, th["sigmaY"] ** 2
    m, P, ll = np.zeros(th.shape), q / (1 - r**2), np.zeros(th.shape)
    for yt in y:
        S = P + h
        ll -= 0.5 * (np.log(2 * np.pi * S) + (yt - m) ** 2 / S)
        K = P / S
        m, P = r * (m + K * (yt - m)), r * r * (1 - K) * P + q
    return ll


# ---------- 2. sv: stochastic volatility (simulated) ----------
sv_prior = dists.StructDist(
    {
        "mu": dists.Normal(scale=2.0),
        "rho": dists.Beta(a=9.0, b=1.0),
        "sigma": dists.Gamma(a=2.0, b=2.0),
    }
)


# ---------- 3. seir: stochastic SEIR, chain-binomial, Poisson reports ----------
class SEIRStep(dists.ProbDist):
    """Law of (S, E, I, R, new infectious) given the same a day earlier.

    States are the columns of an (N, 5) float array.
    """

    dim, dtype = 5, float

    def __init__(self, xp, beta, sigma, gamma):
        self.xp, self.th = xp, (beta, sigma, gamma)

    def rvs(self, size=None):
        b, s, g = self.th
        S, E, I, R = (self.xp[:, j].astype(np.int64) for j in range(4))
        n = S + E + I + R
        se = np.random.binomial(S, -np.expm1(-b * I / n))
        ei = np.random.binomial(E, -np.expm1(-s))
        ir = np.random.binomial(I, -np.expm1(-g))
        new = np.stack([S - se, E + se - ei, I + ei - ir, R + ir, ei], 1)
        return new.astype(float)


class SEIR0(SEIRStep):
    """Law of the state after day 1, from a fixed state on day 0.

    particles observes X_0, so X_0 must be the state behind the first report.
    """

    def __init__(self, x0, *th):
        super().__init__(None, *th)
        self.x0 = x0

    def rvs(self, size=None):
        self.xp = np.tile(self.x0, (size, 1))
        return super().rvs(size)


class SEIR(ssm.StateSpaceModel):
    default_params = {"beta": 0.6, "sigma": 1 / 3, "gamma": 0.2, "pop": 6000, "i0": 3}

    def PX0(self):
        x0 = np.array([self.pop - self.i0, 0.0, self.i0, 0.0, 0.0])
        return SEIR0(x0, self.beta, self.sigma, self.gamma)

    def PX(self, t, xp):
        return SEIRStep(xp, self.beta, self.sigma, self.gamma)

    def PY(self, t, xp, x):
        return dists.Poisson(rate=np.maximum(x[:, 4], 1e-4))


seir_prior = dists.StructDist({k: dists.Uniform(a=1e-5, b=1.0) for k in ("beta", "sigma", "gamma")})


# ---------- 4. gordon: nonlinear, bimodal filtering law ----------
class Gordon(ssm.Gordon_etal):
    """Gordon et al. (1993), with the observation sd as a parameter."""

    default_params = dict(ssm.Gordon_etal.default_params, sigmaY=1.0)

    def PY(self, t, xp, x):
        return dists.Normal(loc=self.a * x**2, scale=self.sigmaY)


gordon_prior = dists.StructDist(
    {
        "b": dists.Normal(loc=0.5, scale=0.5),
        "c": dists.Normal(loc=25.0, scale=10.0),
        "sigmaX": dists.Gamma(a=4.0, b=1.0),
        "sigmaY": dists.Gamma(a=2.0, b=2.0),
    }
)


# ---------- 5. theta: theta-logistic ecology (simulated) ----------
theta_prior = dists.StructDist(
    {
        "tau0": dists.TruncNormal(b=3.0),
        "tau1": dists.TruncNormal(b=3.0),
        "tau2": dists.TruncNormal(b=3.0),
        "sigmaX": dists.Gamma(a=2.0, b=4.0),
        "sigmaY": dists.Gamma(a=2.0, b=4.0),
    }
)


# ---------- 6. hmm: two regimes, exact evidence by the forward algorithm ----------
class Regime(ssm.StateSpaceModel):
    """x in {0, 1};  y | x=k ~ N(mu_k, s_k)."""

    default_params = {"p00": 0.95, "p11": 0.90, "mu0": 0.0, "mu1": 2.0, "s0": 0.5, "s1": 1.0}

    def PX0(self):
        return dists.Binomial(n=1, p=0.5)

    def PX(self, t, xp):
        return dists.Binomial(n=1, p=np.where(xp == 1, self.p11, 1 - self.p00))

    def PY(self, t, xp, x):
        return dists.Normal(loc=np.where(x == 1, self.mu1, self.mu0), scale=np.where(x == 1, self.s1, self.s0))


hmm_prior = dists.StructDist(
    {
        "p00": dists.Beta(a=8.0, b=2.0),
        "p11": dists.Beta(a=8.0, b=2.0),
        "mu0": dists.Normal(loc=0.0, scale=0.5),
        "mu1": dists.Normal(loc=2.0, scale=0.5),
        "s0": dists.Gamma(a=4.0, b=6.0),
        "s1": dists.Gamma(a=4.0, b=4.0),
    }
)


def forward_loglik(th, y):
    """Exact log-likelihood of the `hmm` case, one value per entry of `th`."""

    def normal(yt, m, s):
        return np.exp(-0.5 * ((yt - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))

    a1, ll = np.full(th.shape, 0.5), np.zeros(th.shape)
    for t, yt in enumerate(y):
        p1 = a1 if t == 0 else a1 * th["p11"] + (1 - a1) * (1 - th["p00"])
        f0 = (1 - p1) * normal(yt, th["mu0"], th["s0"])
        f1 = p1 * normal(yt, th["mu1"], th["s1"])
        ll += np.log(f0 + f1)
        a1 = f1 / (f0 + f1)
    return ll


# ---------- 7. cox: Poisson counts, log-AR(1) rate (major earthquakes) ----------
# World-wide earthquakes of magnitude 7 or more per year, 1900-2006
# (Zucchini and MacDonald, from US Geological Survey counts).
QUAKES = np.array(
    [
        13,
        14,
        8,
        10,
        16,
        26,
        32,
        27,
        18,
        32,
        36,
        24,
        22,
        23,
        22,
        18,
        25,
        21,
        21,
        14,
        8,
        11,
        14,
        23,
        18,
        17,
        19,
        20,
        22,
        19,
        13,
        26,
        13,
        14,
        22,
        24,
        21,
        22,
        26,
        21,
        23,
        24,
        27,
        41,
        31,
        27,
        35,
        26,
        28,
        36,
        39,
        21,
        17,
        22,
        17,
        19,
        15,
        34,
        10,
        15,
        22,
        18,
        15,
        20,
        15,
        22,
        19,
        16,
        30,
        27,
        29,
        23,
        20,
        16,
        21,
        21,
        25,
        16,
        18,
        15,
        18,
        14,
        10,
        15,
        8,
        15,
        6,
        11,
        8,
        7,
        18,
        16,
        13,
        12,
        13,
        20,
        15,
        16,
        12,
        18,
        15,
        16,
        13,
        15,
        16,
        11,
        11,
    ]
)

cox_prior = dists.StructDist(
    {
        "mu": dists.Normal(loc=3.0, scale=1.0),
        "phi": dists.Beta(a=9.0, b=1.0),
        "sigma": dists.Gamma(a=2.0, b=10.0),
    }
)


# ---------- 8. flu: acceptance case, boarding-school influenza 1978 ----------
# Boys in bed each day, of 763 (BMJ 1978;1:587, the reading used by Stan and R outbreaks).
FLU = np.array([3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4])


class NegBin(dists.ProbDist):
    """Negative binomial with mean mu and variance mu + mu^2/phi.

    particles 0.4's own NegativeBinomial.logpdf swaps its two arguments.
    """

    dtype = np.int64

    def __init__(self, mu, phi):
        self.mu, self.phi = mu, phi

    def rvs(self, size=None):
        return np.random.poisson(np.random.gamma(self.phi, self.mu / self.phi, size=size))

    def logpdf(self, y):
        m, k = self.mu, self.phi
        return (
            special.gammaln(y + k)
            - special.gammaln(k)
            - special.gammaln(y + 1)
            + k * np.log(k / (k + m))
            + y * np.log(m / (k + m))
        )


class SIRStep(dists.ProbDist):
    """Law of (S, I) after one day of `nsub` Euler-binomial sub-steps."""

    dim, dtype, nsub = 2, float, 10

    def __init__(self, xp, beta, gamma, pop=763):
        self.xp, self.b, self.g, self.n = xp, beta, gamma, pop

    def rvs(self, size=None):
        S, I = (self.xp[:, j].astype(np.int64) for j in (0, 1))
        h = 1 / self.nsub
        for _ in range(self.nsub):
            si = np.random.binomial(S, -np.expm1(-self.b * h * I / self.n))
            ir = np.random.binomial(I, -np.expm1(-self.g * h))
            S, I = S - si, I + si - ir
        return np.stack([S, I], 1).astype(float)


class SIR0(SIRStep):
    """Law of the state after day 1, from 762 susceptible and 1 infectious."""

    def rvs(self, size=None):
        self.xp = np.tile(np.array([762.0, 1.0]), (size, 1))
        return super().rvs(size)


class Flu(ssm.StateSpaceModel):
    default_params = {"beta": 1.7, "gamma": 0.54, "invphi": 0.1}

    def PX0(self):
        return SIR0(None, self.beta, self.gamma)

    def PX(self, t, xp):
        return SIRStep(xp, self.beta, self.gamma)

    def PY(self, t, xp, x):
        return NegBin(np.maximum(x[:, 1], 1e-3), 1.0 / self.invphi)


flu_prior = dists.StructDist(
    {  # priors of Grinsztajn et al. (2021)
        "beta": dists.TruncNormal(mu=2.0, sigma=1.0, a=0.0, b=np.inf),
        "gamma": dists.TruncNormal(mu=0.4, sigma=0.5, a=0.0, b=np.inf),
        "invphi": dists.Gamma(a=1.0, b=5.0),
    }
)


# ---------- the table of cases ----------
# name: (model class, prior, typed-in data or length to simulate, remark)
CASES = {
    "lg": (LG, lg_prior, 100, "AR(1) plus noise; exact evidence"),
    "sv": (ssm.StochVol, sv_prior, 750, "stochastic volatility"),
    "seir": (SEIR, seir_prior, 100, "chain-binomial SEIR, population 6000"),
    "gordon": (Gordon, gordon_prior, 100, "Gordon et al. nonlinear, bimodal filter"),
    "theta": (ssm.ThetaLogistic, theta_prior, 120, "theta-logistic ecology"),
    "hmm": (Regime, hmm_prior, 100, "two-regime Gaussian HMM; exact evidence"),
    "cox": (ssm.DiscreteCox, cox_prior, QUAKES, "log-AR(1) Poisson counts"),
    "flu": (Flu, flu_prior, FLU, "chain-binomial SIR, negative binomial reports"),
}
EXACT_LOGLIK = {"lg": kalman_loglik, "hmm": forward_loglik}


def data_for(name, T=None):
    """The first T observations of a case (all of them by default)."""
    model, _, source, _ = CASES[name]
    if isinstance(source, int):
        before = np.random.get_state()  # particles draws from numpy's global generator
        np.random.seed(DATA_SEED)
        y = np.array(model().simulate(source)[1]).ravel()
        np.random.set_state(before)
    else:
        y = source
    if T is not None and not 1 <= T <= len(y):
        raise SystemExit(f"{name} has {len(y)} observations, asked for T={T}")
    return y[:T]


def moments(th, W):
    """{parameter: [weighted mean, weighted sd]}."""
    out = {}
    for k in th.dtype.names:
        m = float(W @ th[k])
        out[k] = [m, float(np.sqrt(W @ (th[k] - m) ** 2))]
    return out


def run(name, N=200, Nx=100, T=None, n_moves=3, seed=1, wastefree=False, adapt=-1.0):
    """One SMC2 run.  `adapt` is particles' ar_to_increase_Nx; -1 never grows Nx."""
    model, prior, _, _ = CASES[name]
    y = data_for(name, T)
    np.random.seed(seed)
    len_chain = 1 + n_moves
    fk = ssp.SMC2(
        ssm_cls=model,
        prior=prior,
        data=y,
        init_Nx=Nx,
        ar_to_increase_Nx=adapt,
        wastefree=wastefree,
        len_chain=len_chain,
        smc_options={"resampling": "systematic", "ESSrmin": 0.5},
    )
    # waste-free keeps N * len_chain theta-particles: divide, so that both modes keep N
    n0 = N // len_chain if wastefree else N
    alg = particles.SMC(fk=fk, N=n0, ESSrmin=0.5, collect=[Moments()])
    wall0, cpu0 = time.perf_counter(), time.process_time()
    alg.run()
    wall, cpu = time.perf_counter() - wall0, time.process_time() - cpu0
    rejuv = np.flatnonzero(alg.summaries.rs_flags)
    # the online part, plus n_moves replays of t steps for each rejuvenation at t
    steps = len(y) * N * Nx + sum(int(t) for t in rejuv) * n0 * n_moves * Nx
    acc = [np.mean(a) for a in alg.X.shared.get("acc_rates", [])]
    return {
        "name": name,
        "N": int(alg.X.N),
        "Nx": Nx,
        "T": len(y),
        "seed": seed,
        "wall": round(wall, 2),
        "cpu": round(cpu, 2),
        "logZ": round(float(alg.logLt), 3),
        "rejuv": len(rejuv),
        "acc": round(float(np.mean(acc)), 3) if len(rejuv) else None,
        "psteps": int(steps),
        "ns_per_pstep": round(1e9 * cpu / steps, 1),
        "post": moments(alg.X.theta, alg.W),
    }


def exact_logZ(name, T=None, n=200_000, rounds=4):
    """Evidence and posterior by importance sampling on the exact likelihood.

    The proposal is a Student-t, refitted to the weighted sample in each round.
    """
    loglik = EXACT_LOGLIK[name]
    prior, y = CASES[name][1], data_for(name, T)
    np.random.seed(7)
    th = prior.rvs(size=n)
    lw = loglik(th, y)
    names, nu = th.dtype.names, 5.0
    d = len(names)
    for _ in range(rounds):
        W = np.exp(lw - special.logsumexp(lw))
        A = np.stack([th[k] for k in names], 1)
        m = W @ A
        C = (A - m).T @ ((A - m) * W[:, None]) + 1e-10 * np.eye(d)
        L = np.linalg.cholesky(1.5 * C)
        z = np.random.randn(n, d) / np.sqrt(np.random.chisquare(nu, n) / nu)[:, None]
        B = m + z @ L.T
        th = np.empty(n, dtype=th.dtype)
        for j, k in enumerate(names):
            th[k] = B[:, j]
        with np.errstate(all="ignore"):
            lp = prior.logpdf(th)
            inside = np.isfinite(lp)
            lq = (
                special.gammaln((nu + d) / 2)
                - special.gammaln(nu / 2)
                - d / 2 * np.log(nu * np.pi)
                - np.log(np.diag(L)).sum()
                - (nu + d) / 2 * np.log1p((z**2).sum(1) / nu)
            )
            ll = np.nan_to_num(loglik(th, y), nan=-np.inf)
            lw = np.where(inside, ll + np.where(inside, lp, 0.0) - lq, -np.inf)
    lz = special.logsumexp(lw) - np.log(n)
    W = np.exp(lw - special.logsumexp(lw))
    ess = 1 / (W**2).sum()
    return {
        "name": name,
        "T": len(y),
        "exact_logZ": float(lz),
        "ess": float(ess),
        "mc_se": float(np.sqrt(1 / ess)),
        "post": moments(th, W),
    }


def list_cases():
    for name, (_, prior, source, remark) in CASES.items():
        y = data_for(name)
        kind = "simulated" if isinstance(source, int) else "typed in"
        print(
            f"{name:7s} n={len(y):<4d} {kind:10s} {remark}; parameters "
            f"{', '.join(prior.laws)}; first {np.round(y[:3], 4).tolist()}, "
            f"sum {y.sum():.4f}"
        )


def main(argv=None):
    p = argparse.ArgumentParser(description="particles 0.4 SMC2 benchmark cases")
    p.add_argument("--list", action="store_true", help="list the cases and stop")
    p.add_argument("name", nargs="?", choices=list(CASES))
    p.add_argument("numbers", nargs="*", type=int, metavar="N_theta N_x T n_moves seed")
    p.add_argument("--T", type=int, help="use the first T observations")
    p.add_argument("--seeds", type=int, help="run this many seeds, from the given one on, after one run to warm up")
    p.add_argument("--waste-free", action="store_true")
    p.add_argument("--data", action="store_true", help="print the observations")
    p.add_argument("--exact", action="store_true", help="exact evidence (lg and hmm)")
    a = p.parse_args(argv)
    if a.list:
        list_cases()
        return
    if a.name is None:
        p.error("give a case name, or --list")
    if len(a.numbers) > 5:
        p.error("at most five numbers: N_theta N_x T n_moves seed")
    kw = dict(zip(("N", "Nx", "T", "n_moves", "seed"), a.numbers, strict=False))
    if a.T is not None:
        kw["T"] = a.T
    if a.data:
        out = {"name": a.name, "y": data_for(a.name, kw.get("T")).tolist()}
    elif a.exact:
        if a.name not in EXACT_LOGLIK:
            p.error("--exact knows only " + " and ".join(EXACT_LOGLIK))
        out = exact_logZ(a.name, kw.get("T"))
    elif a.seeds:
        run(a.name, **(kw | {"T": 5, "n_moves": 1}))
        first = kw.pop("seed", 1)
        for seed in range(first, first + a.seeds):
            try:
                out = run(a.name, wastefree=a.waste_free, seed=seed, **kw)
            except np.linalg.LinAlgError as error:
                out = {"name": a.name, "seed": seed, "failed": str(error)}
            print(json.dumps(out), flush=True)
        return
    else:
        out = run(a.name, wastefree=a.waste_free, **kw)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
