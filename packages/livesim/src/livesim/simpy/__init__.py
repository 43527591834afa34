"""Any SimPy model, with livesim's random numbers, monitors, warm-up, replications and intervals.

A SimPy model is a function of an environment and a random number generator, and of parameters by name:

>>> import simpy
>>> import livesim.simpy
>>> def barbershop(env, rng, service=16.0):
...     barber = simpy.Resource(env, capacity=1)
...     env.watch("barber", barber)                        # utilization, queue and waits, which SimPy does not keep
...     def customer():
...         came = env.now
...         with barber.request() as turn:
...             yield turn
...             yield env.timeout(rng.exponential(service))
...         env.record("sojourn", env.now - came)
...     def arrivals():
...         while True:
...             yield env.timeout(rng.exponential(18.0))
...             env.process(customer())
...     env.process(arrivals())
>>> found = livesim.simpy.run(barbershop, until=20_000, seed=1)
>>> 0.8 < found["barber.utilization"] < 1.0
True
>>> runs = livesim.simpy.replicate(barbershop, n=20, until=20_000, warmup=2_000, seed=1, progress=False)
>>> print(runs.interval("barber.utilization"))
0.8952 [0.8752, 0.9152] (95 %, n=20)
"""

try:
    import simpy  # noqa: F401
except ImportError as error:
    raise ImportError("livesim.simpy runs models of SimPy, which is not there: pip install 'livesim[simpy]'") from error

from livesim.simpy.environment import Environment
from livesim.simpy.model import Model, replicate, run

__all__ = ["Environment", "Model", "replicate", "run"]
