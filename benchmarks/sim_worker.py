"""One simulator in one process, run on request: `sim_worker.py LIBRARY`, of livesim, reference, simpy, ciw, salabim.

Reads a line of JSON `{"model", "jobs", "seed", "runs"}` and answers with one: processor and wall seconds of so many
runs, jobs that left, and a number to see that it is the same model. Imports and compilation are not in it, nor is
livesim's model, which is data and built once; what a library has to set up anew for each run is.
Every model lets so many jobs arrive and then serves all of them to the end: the same stop rule and the same work.
"""

import functools
import json
import random
import sys
import time
from collections.abc import Callable, Generator
from typing import Any

Steps = Generator[Any, Any, Any]
Answer = tuple[int, float]
"""Jobs that left, and the mean wait, rework's share, or the mean time in the system."""
Run = Callable[[int, int], Answer]

STAGES = (8.0, 6.0, 10.0, 5.0, 7.0)


def of_livesim(engine: str) -> tuple[dict[str, Run], str]:
    import livesim
    from livesim import Model, arrive, decide, depart, exponential, hold, label, release, seize

    @functools.cache
    def barbershop(jobs: int) -> Model:
        model = Model("barbershop").resource("barber")
        arrivals, service = arrive(every=exponential(mean=18.0), limit=jobs), exponential(mean=16.0)
        return model.process("job", arrivals, seize("barber"), hold(service), release("barber"), depart())

    @functools.cache
    def rework(jobs: int) -> Model:
        return (
            Model("rework")
            .resource("machine", 3)
            .resource("repairer")
            .process(
                "job",
                arrive(every=exponential(mean=4.0), limit=jobs),
                seize("machine"),
                hold(exponential(mean=5.0)),
                release("machine"),
                decide(0.15, "again"),
                depart(),
                label("again"),
                seize("repairer"),
                hold(exponential(mean=8.0)),
                release("repairer"),
                depart(),
            )
        )

    @functools.cache
    def job_shop(jobs: int) -> Model:
        model = Model("job shop")
        steps: list[Any] = []
        for stage, mean in enumerate(STAGES):
            model.resource(f"stage {stage}", 2)
            steps += [seize(f"stage {stage}"), hold(exponential(mean=mean)), release(f"stage {stage}")]
        return model.process("job", arrive(every=exponential(mean=4.0), limit=jobs), *steps, depart())

    def runner(build: Callable[[int], Model], metric: str, scale: bool) -> Run:
        def run(jobs: int, seed: int) -> Answer:
            result = livesim.run(build(jobs), 1e9, seed=seed, drain=True, engine=engine)
            return result["job"].completed, result.value(metric) / (jobs if scale else 1)

        return run

    return {
        "barbershop": runner(barbershop, "barber.wait.mean", False),
        "rework": runner(rework, "repairer.wait.count", True),
        "job shop": runner(job_shop, "job.sojourn.mean", False),
    }, livesim.__version__


def of_simpy() -> tuple[dict[str, Run], str]:
    """As the race's scripts have it: the module `random`, a process a job, a list of what is measured."""
    import simpy

    exponential = random.expovariate

    def start(jobs: int, mean: float, visit: Callable[[simpy.Environment], Steps], env: simpy.Environment) -> None:
        def source() -> Steps:
            for _ in range(jobs):
                yield env.timeout(exponential(1 / mean))
                env.process(visit(env))

        env.process(source())
        env.run()

    def barbershop(jobs: int, seed: int) -> Answer:
        random.seed(seed)
        env = simpy.Environment()
        barber = simpy.Resource(env)
        waits: list[float] = []

        def customer(env: simpy.Environment) -> Steps:
            came = env.now
            with barber.request() as turn:
                yield turn
                waits.append(env.now - came)
                yield env.timeout(exponential(1 / 16.0))

        start(jobs, 18.0, customer, env)
        return len(waits), sum(waits) / jobs

    def rework(jobs: int, seed: int) -> Answer:
        random.seed(seed)
        env = simpy.Environment()
        machine, repairer = simpy.Resource(env, 3), simpy.Resource(env)
        counts = [0, 0]

        def part(env: simpy.Environment) -> Steps:
            with machine.request() as turn:
                yield turn
                yield env.timeout(exponential(1 / 5.0))
            if random.random() < 0.15:
                counts[1] += 1
                with repairer.request() as turn:
                    yield turn
                    yield env.timeout(exponential(1 / 8.0))
            counts[0] += 1

        start(jobs, 4.0, part, env)
        return counts[0], counts[1] / jobs

    def job_shop(jobs: int, seed: int) -> Answer:
        random.seed(seed)
        env = simpy.Environment()
        stages = [(simpy.Resource(env, 2), 1 / mean) for mean in STAGES]
        times: list[float] = []

        def job(env: simpy.Environment) -> Steps:
            came = env.now
            for stage, rate in stages:
                with stage.request() as turn:
                    yield turn
                    yield env.timeout(exponential(rate))
            times.append(env.now - came)

        start(jobs, 4.0, job, env)
        return len(times), sum(times) / jobs

    def phold(lps: int, seed: int, *, each: int = 16, until: float = 20.0) -> Answer:
        """Events by callbacks, SimPy's fastest way: logical processes, each with 16; a quarter goes elsewhere."""
        draw = random.Random(seed)
        env = simpy.Environment()
        handled = [0] * lps

        def handle(event: simpy.Event) -> None:
            here = event.value
            handled[here] += 1
            there = here
            if draw.random() < 0.25:
                there = int(draw.random() * lps)
                there = (there + 1) % lps if there == here else there
            send(there, draw.expovariate(1.0))

        def send(to: int, delay: float) -> None:
            timeout = env.timeout(delay, to)
            timeout.callbacks.append(handle)

        for lp in range(lps):
            for _ in range(each):
                send(lp, 0.0)
        env.run(until)
        return sum(handled), 0.25

    return {"barbershop": barbershop, "rework": rework, "job shop": job_shop, "phold": phold}, simpy.__version__


def of_ciw() -> tuple[dict[str, Run], str]:
    import ciw

    class Limited(ciw.dists.Exponential):  # type: ignore[misc]
        """So many exponential times, then none."""

        def __init__(self, rate: float, jobs: int) -> None:
            super().__init__(rate)
            self.left = jobs

        def sample(self, t: Any = None, ind: Any = None) -> float:
            self.left -= 1
            return super().sample(t, ind) if self.left >= 0 else float("inf")

    def network(jobs: int, mean: float, servers: list[int], means: list[float], routing: list[list[float]]) -> Any:
        return ciw.create_network(
            arrival_distributions=[Limited(1 / mean, jobs), *[None] * (len(servers) - 1)],
            service_distributions=[ciw.dists.Exponential(1 / each) for each in means],
            number_of_servers=servers,
            routing=routing,
        )

    def finish(net: Any, jobs: int, seed: int) -> list[Any]:
        ciw.seed(seed)
        simulation = ciw.Simulation(net)
        simulation.simulate_until_max_customers(jobs, method="Finish")
        return list(simulation.get_all_records())

    def barbershop(jobs: int, seed: int) -> Answer:
        records = finish(network(jobs, 18.0, [1], [16.0], [[0.0]]), jobs, seed)
        return len(records), sum(record.waiting_time for record in records) / jobs

    def rework(jobs: int, seed: int) -> Answer:
        net = network(jobs, 4.0, [3, 1], [5.0, 8.0], [[0.0, 0.15], [0.0, 0.0]])
        records = finish(net, jobs, seed)
        again = sum(record.node == 2 for record in records)
        return len(records) - again, again / jobs

    def job_shop(jobs: int, seed: int) -> Answer:
        routing = [[float(to == at + 1) for to in range(5)] for at in range(5)]
        records = finish(network(jobs, 4.0, [2] * 5, list(STAGES), routing), jobs, seed)
        total = sum(record.exit_date - record.arrival_date for record in records)
        return sum(record.node == 5 for record in records), total / jobs

    return {"barbershop": barbershop, "rework": rework, "job shop": job_shop}, ciw.__version__


def of_salabim() -> tuple[dict[str, Run], str]:
    """With generators, which are faster than greenlets here, and with its monitors, which it has always on."""
    import salabim as sim

    sim.yieldless(False)

    def start(jobs: int, mean: float, kind: type, env: Any) -> None:
        sim.ComponentGenerator(kind, iat=sim.Exponential(mean), number=jobs)
        env.run()

    def barbershop(jobs: int, seed: int) -> Answer:
        env = sim.Environment(trace=False, random_seed=seed)
        barber, service = sim.Resource("barber"), sim.Exponential(16.0)

        class Customer(sim.Component):  # type: ignore[misc]
            def process(self) -> Steps:
                yield self.request(barber)
                yield self.hold(service.sample())

        start(jobs, 18.0, Customer, env)
        waits = barber.requesters().length_of_stay
        return waits.number_of_entries(), waits.mean()

    def rework(jobs: int, seed: int) -> Answer:
        env = sim.Environment(trace=False, random_seed=seed)
        machine, repairer = sim.Resource("machine", 3), sim.Resource("repairer")
        first, second = sim.Exponential(5.0), sim.Exponential(8.0)
        counts = [0, 0]

        class Part(sim.Component):  # type: ignore[misc]
            def process(self) -> Steps:
                yield self.request(machine)
                yield self.hold(first.sample())
                self.release(machine)
                if random.random() < 0.15:
                    counts[1] += 1
                    yield self.request(repairer)
                    yield self.hold(second.sample())
                counts[0] += 1

        start(jobs, 4.0, Part, env)
        return counts[0], counts[1] / jobs

    def job_shop(jobs: int, seed: int) -> Answer:
        env = sim.Environment(trace=False, random_seed=seed)
        stages = [(sim.Resource(f"stage {at}", 2), sim.Exponential(mean)) for at, mean in enumerate(STAGES)]
        times: list[float] = []

        class Job(sim.Component):  # type: ignore[misc]
            def process(self) -> Steps:
                came = env.now()
                for stage, law in stages:
                    yield self.request(stage)
                    yield self.hold(law.sample())
                    self.release(stage)
                times.append(env.now() - came)

        start(jobs, 4.0, Job, env)
        return len(times), sum(times) / jobs

    return {"barbershop": barbershop, "rework": rework, "job shop": job_shop}, sim.__version__


LIBRARIES: dict[str, Callable[[], tuple[dict[str, Run], str]]] = {
    "livesim": lambda: of_livesim("compiled"),
    "reference": lambda: of_livesim("reference"),
    "simpy": of_simpy,
    "ciw": of_ciw,
    "salabim": of_salabim,
}


def main() -> None:
    library = sys.argv[1]
    runs, version = LIBRARIES[library]()
    for model, run in runs.items():
        run(10, 0)  # compiles, imports what is imported late
        print(f"{library} {model}", file=sys.stderr)
    print(json.dumps({"version": version, "python": sys.version.split()[0]}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        run, seeds = runs[asked["model"]], range(asked["runs"] * asked["seed"], asked["runs"] * (asked["seed"] + 1))
        cpu, wall = time.process_time(), time.perf_counter()
        answers = [run(asked["jobs"], seed) for seed in seeds]
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        jobs, check = sum(jobs for jobs, _ in answers), sum(check for _, check in answers) / len(answers)
        print(json.dumps({"cpu": cpu, "wall": wall, "jobs": jobs, "check": check}), flush=True)


if __name__ == "__main__":
    main()
