"""From a model to its program: steps become instructions, expressions bytecode, names numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from livesim.compiler.arithmetic import apply
from livesim.compiler.program import (
    EXPRESSION,
    STACK,
    Class,
    ClockKind,
    Code,
    Discipline,
    Mode,
    Names,
    Op,
    Policy,
    Program,
    SourceKind,
    Then,
)
from livesim.distributions import Distribution
from livesim.distributions.distribution import distribution
from livesim.model import verbs
from livesim.model.builder import Model, Process
from livesim.model.expressions import Call, Expression, Parameter, State, is_condition, leaves
from livesim.model.flow import repeated
from livesim.model.resources import Schedule
from livesim.random import Kind, stream_number


def compile_model(model: Model, params: Mapping[str, float] | None = None) -> tuple[Program, Names]:
    """The model's program with `params` in place of the defaults; an unknown one is an error that lists those known."""
    return Compiler(model, parameters(model, params)).program()


def parameters(model: Model, params: Mapping[str, float] | None) -> dict[str, float]:
    """The model's parameters, with the given ones in place of their defaults."""
    chosen = model.parameters()
    if params is not None and not isinstance(params, Mapping):
        raise TypeError(f"params: a mapping of names to numbers, such as {{'service': 15.5}}, got {params!r}")
    for name, number in (params or {}).items():
        if name not in chosen:
            there = ", ".join(map(repr, chosen)) or "none"
            raise ValueError(f"params: model {model.name!r} has no parameter {name!r}; there are: {there}")
        if isinstance(number, bool) or not isinstance(number, (int, float, np.number)) or not math.isfinite(number):
            raise ValueError(f"params: {name!r} must be a finite number, got {number!r}")
        chosen[name] = float(number)
    return chosen


class Compiler:
    """The tables of one model while they are filled."""

    def __init__(self, model: Model, chosen: Mapping[str, float]) -> None:
        self.model = model
        self.chosen = chosen
        self.processes = list(model.processes)
        self.resources = [*model.resources, *model.conveyors]
        self.containers = [*model.containers, *model.stores]
        self.queues = [*self.resources]
        for name in self.containers:
            self.queues += [f"{name} get", f"{name} put"]
        self.signals: dict[str, int] = {}
        self.attributes: dict[str, float] = {}
        self.fields: dict[str, None] = dict.fromkeys(
            field for store in model.stores.values() for item in store.initial for field, _ in item
        )
        """The numbers that items have."""
        self.tallies: list[tuple[str, str]] = []
        self.code: list[list[int]] = []
        self.steps: list[tuple[str, int, str]] = []
        self.values: list[list[int]] = []
        self.parameters: list[list[float]] = []
        self.bytecode: list[tuple[int, int]] = []
        self.constants: list[float] = []
        self.branches: list[list[int]] = []
        self.sets: list[int] = []
        self.times: list[float] = []
        self.table: list[float] = []
        self.streams: list[int] = []
        self.counters = 0
        self.resamples = any(
            "resample"
            in (resource.preemption, getattr(resource.capacity, "jobs", ""), getattr(resource.failures, "jobs", ""))
            for resource in model.resources.values()
        )

    def program(self) -> tuple[Program, Names]:
        """All tables, filled."""
        for process in self.model.processes.values():
            for step in process.steps:
                if isinstance(step, verbs.Assign):
                    self.attributes |= dict.fromkeys(dict(step.values), math.nan)
                if isinstance(step, verbs.Get):
                    self.attributes |= dict.fromkeys(dict(step.into), math.nan)
                if isinstance(step, verbs.Put) and step.item is not None:
                    self.fields |= dict.fromkeys(dict(step.item))
                if isinstance(step, (verbs.Signal, verbs.Wait)) and step.name not in self.signals:
                    self.signals[step.name] = self._queue(f"signal {step.name}")
        resources, clocks, holders = self._resources()
        stores, items = self._stores()
        sources = [self._process(process) for process in self.model.processes.values()]
        program = Program(
            code=_integers(self.code, 8),
            values=_integers(self.values, 8),
            parameters=np.array(self.parameters, np.float64).reshape(-1, 4),
            bytecode=_integers(self.bytecode, 2),
            constants=np.array(self.constants, np.float64),
            table=np.array([*self.table, 0.0], np.float64),
            branches=_integers(self.branches, 2),
            sets=np.array(self.sets, np.int64),
            sources=_integers(sources, 8),
            clocks=_integers(clocks, 8),
            times=np.array(self.times, np.float64),
            resources=_integers(resources, 6),
            containers=np.array(
                [(c.capacity, c.initial) for c in self.model.containers.values()]
                + [(store.capacity, len(store.initial)) for store in self.model.stores.values()]
            ).reshape(-1, 2),
            stores=_integers(stores, 2),
            items=np.array(items, np.float64).reshape(-1, 1 + len(self.fields)),
            attributes=np.array(list(self.attributes.values()), np.float64),
            streams=np.array(self.streams, np.uint64),
            sizes=np.array([len(self.queues), len(self.tallies), self.counters, holders], np.int64),
        )
        names = Names(
            tuple(self.processes), tuple(self.resources), tuple(self.containers), tuple(self.queues),
            tuple(self.tallies), tuple(self.attributes), tuple(self.steps),
        )  # fmt: skip
        return program, names

    # -- resources -----------------------------------------------------------------------------------------------------

    def _resources(self) -> tuple[list[list[int]], list[list[int]], int]:
        rows, clocks, holders = [], [], 0
        for index, resource in enumerate(self.model.resources.values()):
            modes = [Mode[(resource.preemption or "finish").upper()]]
            capacity = resource.capacity
            if isinstance(capacity, Schedule):
                modes.append(Mode[capacity.jobs.upper()])
                first = self._periods(capacity.periods)
                operands = [first, len(capacity.periods), Then[capacity.then.upper()]]
                clocks.append([index, ClockKind.SCHEDULE, *operands, modes[-1], 0, 0])
                capacity = int(capacity.periods[0][2])
            if resource.failures is not None:
                modes.append(Mode[resource.failures.jobs.upper()])
                name = f"{resource.name}/failures"
                up = self._value(resource.failures.up, f"{name} up")
                down = self._value(resource.failures.down, f"{name} down")
                clocks.append([index, ClockKind.FAILURE, up, down, 0, modes[-1], 0, 0])
            taken = any(mode != Mode.FINISH for mode in modes)
            discipline, order = Discipline.EXPRESSION, -1
            if isinstance(resource.discipline, str):
                discipline = Discipline[resource.discipline.upper()]
            else:
                order = self._value(resource.discipline, f"{resource.name}/order")
            most = resource.largest_capacity()
            rows.append([capacity, most, discipline, order, modes[0], holders if taken else -1])
            holders += taken
        conveyors = self.model.conveyors.values()
        rows += [[belt.capacity, belt.capacity, Discipline.FIFO, -1, Mode.FINISH, -1] for belt in conveyors]
        return rows, clocks, holders

    def _stores(self) -> tuple[list[list[int]], list[list[float]]]:
        """A row for each container and store, and what stores hold at the start."""
        rows = [[-1, -1] for _ in self.model.containers]
        items = []
        for store in self.model.stores.values():
            number = float(len(rows))
            if isinstance(store.discipline, str):
                rows.append([Discipline[store.discipline.upper()], -1])
            else:
                rows.append([Discipline.EXPRESSION, self._value(store.discipline, f"{store.name}/order")])
            items += [[number, *(dict(item).get(field, math.nan) for field in self.fields)] for item in store.initial]
        return rows, items

    def _periods(self, periods: tuple[tuple[float, float, float], ...]) -> int:
        first = len(self.times)
        self.times.extend(itertools.chain.from_iterable(periods))
        return first

    def _queue(self, name: str) -> int:
        self.queues.append(name)
        return len(self.queues) - 1

    # -- processes -----------------------------------------------------------------------------------------------------

    def _process(self, process: Process) -> list[int]:
        """Append the instructions of a process; its row of `sources`."""
        steps, name = process.steps, process.name
        again = repeated(steps)
        seen: dict[str, int] = {}
        starts = [0] * len(steps)
        jumps: list[tuple[int, int, str]] = []
        start = len(self.code)
        source = self._source(process)
        patience: verbs.Renege | None = None
        for index, step in enumerate(steps):
            starts[index] = len(self.code)
            seen[step.verb] = seen.get(step.verb, 0) + 1
            place = f"{name}/{step.verb} {seen[step.verb]}"
            if isinstance(step, verbs.Renege):
                patience = step
                continue
            for row, jump in self._step(step, process, place, index in again, patience):
                for column, to in jump.items():
                    jumps.append((len(self.code), column, to))
                self.code.append(row + [-1] * (8 - len(row)))
                self.steps.append((name, index + 1, str(step)))
            patience = None
        labels = {step.name: starts[index] for index, step in enumerate(steps) if isinstance(step, verbs.Label)}
        for row_index, column, to in jumps:
            if column < 0:
                self.branches[-column - 1][1] = labels[to]
            else:
                self.code[row_index][column] = labels[to]
        self._classes(start)
        return [start, *source]

    def _source(self, process: Process) -> list[int]:
        arrive = process.steps[0]
        assert isinstance(arrive, verbs.Arrive)
        name, stream = process.name, -1
        if arrive.every is not None:
            every = self._value(arrive.every, f"{name}/arrive")
            first = every if arrive.first is None else self._value(arrive.first, f"{name}/arrive first")
            kind, operands = SourceKind.EVERY, [every, first, 0]
        elif arrive.at is not None:
            kind, operands = SourceKind.AT, [len(self.times), len(arrive.at), 0]
            self.times += arrive.at
        else:
            assert arrive.rate is not None
            assert arrive.then is not None
            then = Then[arrive.then.upper()]
            kind, operands = SourceKind.RATE, [self._periods(arrive.rate), len(arrive.rate), then]
            stream = self._stream(f"{name}/arrive")
        batch = self._value(arrive.batch, f"{name}/arrive batch")
        return [kind, *operands, batch, -1 if arrive.limit is None else arrive.limit, stream]

    def _step(
        self, step: verbs.Step, process: Process, place: str, again: bool, patience: verbs.Renege | None
    ) -> list[tuple[list[int], dict[int, str]]]:
        """The instructions of a step: rows, and the labels to put in by column (-1 - branch for a branch)."""

        def value(content: Any, what: str = "") -> int:
            return self._value(content, f"{place} {what}".rstrip(), again)

        wait: list[int] = [-1, -1]
        away: dict[int, str] = {}
        if patience is not None:
            wait = [value(patience.after, "renege"), -1]
            away = {5: patience.to}
        match step:
            case verbs.Hold() | verbs.Route():
                held = isinstance(step, verbs.Hold)
                time = self._value(step.time, place, again or (held and self.resamples))
                return [([Op.HOLD, time, Class.ENDING, int(held)], {})]
            case verbs.Seize():
                resources = self._set(step.resources)
                policy = Policy.ALL if step.policy is None else Policy[step.policy.upper()]
                numbers = [value(step.units, "units"), value(step.priority, "priority")]
                row = [Op.SEIZE, resources, *numbers, *wait, len(step.resources), policy]
                if policy == Policy.RANDOM:
                    row[1] = self._set(step.resources, self._stream(f"{place} policy"), self._counter(again))
                return [(row, away)]
            case verbs.Release():
                units = -1 if step.units is None else value(step.units, "units")
                return [([Op.RELEASE, self._set(step.resources), units, -1, -1, -1, len(step.resources)], {})]
            case verbs.Transport():
                conveyor = self.model.conveyors[step.conveyor]
                resource = self.resources.index(step.conveyor)
                time = value(conveyor.length / conveyor.speed, "time")
                return [
                    ([Op.SEIZE, resource, value(1.0, "units"), value(0.0, "priority"), -1, -1, 1, Policy.ALL], {}),
                    ([Op.HOLD, time, Class.RELEASING, 0], {}),
                    ([Op.RELEASE, resource, -1, -1, -1, -1, 1], {}),
                ]
            case verbs.Decide():
                return self._decide(step, place, again)
            case verbs.Balk():
                return [([Op.BRANCH, value(step.when), -1], {2: step.to})]
            case verbs.Assign():
                names = list(self.attributes)
                return [([Op.ASSIGN, names.index(name), value(given, name)], {}) for name, given in step.values]
            case verbs.Jump():
                return [([Op.JUMP, -1], {1: step.to})]
            case verbs.Loop():
                counter = len(self.attributes)
                self.attributes[f"{place} done"] = 0.0
                return [([Op.LOOP, counter, value(step.times), -1], {3: step.to})]
            case verbs.Record():
                tally = (process.name, step.name)
                if tally not in self.tallies:
                    self.tallies.append(tally)
                return [([Op.RECORD, self.tallies.index(tally), value(step.value)], {})]
            case verbs.Batch():
                return [([Op.BATCH, self._queue(place), value(step.size)], {})]
            case verbs.Unbatch():
                return [([Op.UNBATCH], {})]
            case verbs.Split():
                here = len(self.code) + 1
                return [([Op.SPLIT, value(step.parts), here], {} if step.to is None else {2: step.to})]
            case verbs.Combine():
                count = -1 if step.count is None else value(step.count)
                return [([Op.COMBINE, self._queue(place), count], {})]
            case verbs.Signal():
                return [([Op.SIGNAL, self.signals[step.name]], {})]
            case verbs.Wait():
                return [([Op.WAIT, self.signals[step.name], -1, -1, *wait], away)]
            case verbs.Get() | verbs.Put() if step.container in self.model.stores:
                store = self.containers.index(step.container)
                if isinstance(step, verbs.Get):
                    op, side = Op.GET_ITEM, "get"
                    pairs = [(list(self.attributes).index(name), self._field(place, of)) for name, of in step.into]
                    condition = -1 if step.where is None else value(step.where)
                else:
                    op, side, condition = Op.PUT_ITEM, "put", -1
                    pairs = [(self._field(place, name), value(given, name)) for name, given in step.item or ()]
                queue = self.queues.index(f"{step.container} {side}")
                first = len(self.sets)
                self.sets += itertools.chain.from_iterable(pairs)
                return [([op, store, condition, queue, *wait, first, len(pairs)], away)]
            case verbs.Get() | verbs.Put():
                container = self.containers.index(step.container)
                op, side = (Op.GET, "get") if isinstance(step, verbs.Get) else (Op.PUT, "put")
                queue = self.queues.index(f"{step.container} {side}")
                return [([op, container, value(step.amount), queue, *wait], away)]
            case verbs.Depart():
                return [([Op.DEPART], {})]
            case _:
                return []

    def _decide(self, step: verbs.Decide, place: str, again: bool) -> list[tuple[list[int], dict[int, str]]]:
        if len(step.branches) == 1:
            chance, to = step.branches[0]
            if is_condition(chance):
                return [([Op.BRANCH, self._value(chance, place, again), -1], {2: to})]
            stream, counter = self._stream(place), self._counter(again)
            return [([Op.DECIDE, self._value(chance, place, again), -1, stream, counter], {2: to})]
        first, jumps = len(self.branches), {}
        for chance, to in step.branches:
            self.branches.append([self._value(chance, place, again), -1])
            jumps[-len(self.branches)] = to
        return [([Op.CHOOSE, first, len(step.branches), self._stream(place), self._counter(again)], jumps)]

    def _classes(self, start: int) -> None:
        """Give the ends of holds that lead straight to a release their class."""
        for index in range(start, len(self.code)):
            row = self.code[index]
            if row[0] == Op.HOLD:
                after, hops = index + 1, 0
                while after < len(self.code) and self.code[after][0] == Op.JUMP and hops < len(self.code):
                    after, hops = self.code[after][1], hops + 1
                if after < len(self.code) and self.code[after][0] == Op.RELEASE:
                    row[2] = Class.RELEASING

    def _field(self, where: str, name: str) -> int:
        """The number of an item's number."""
        if name not in self.fields:
            there = ", ".join(map(repr, self.fields)) or "none"
            raise ValueError(f"{where}: no put gives items a number {name!r}; there are: {there}")
        return list(self.fields).index(name)

    def _set(self, names: tuple[str, ...], *extra: int) -> int:
        """A resource's number, or where the numbers of several begin."""
        if len(names) == 1:
            return self.resources.index(names[0])
        self.sets += [self.resources.index(name) for name in names]
        self.sets += extra
        return len(self.sets) - len(names) - len(extra)

    # -- values --------------------------------------------------------------------------------------------------------

    def _stream(self, name: str) -> int:
        self.streams.append(stream_number(name))
        return len(self.streams) - 1

    def _counter(self, again: bool) -> int:
        """A counter of the job's draws, where a step may draw more than once a job."""
        if not again:
            return -1
        self.counters += 1
        return self.counters - 1

    def _value(self, content: Any, place: str, again: bool = False) -> int:
        row, numbers = [EXPRESSION, -1, -1, -1, -1, -1, -1, 0], [0.0] * 4
        if isinstance(content, Distribution):
            if not content.is_constant():
                content = self._settled(content, place)
            compiled = content.compile().at(len(self.table))
            self.table += compiled.table
            row[:3] = [compiled.kind, self._stream(place), self._counter(again)]
            for position, given in enumerate(compiled.parameters):
                if isinstance(given, Expression):
                    row[3 + position] = self._bytecode(given)
                else:
                    numbers[position] = float(given)
        else:
            for leaf in leaves(content):
                if isinstance(leaf, State) and leaf.kind == "item":
                    self._field(place, leaf.name)
            folded = self._folded(content)
            if isinstance(folded, float):
                row[0], numbers[0] = Kind.CONSTANT, folded
            else:
                row[3] = self._bytecode(folded)
        row[7] = int(max(row[3:7]) >= 0)
        self.values.append(row)
        self.parameters.append(numbers)
        return len(self.values) - 1

    def _settled(self, content: Distribution, place: str) -> Distribution:
        """The distribution with the model's parameters put in."""
        folded = {name: self._folded(given) for name, given in content.parameters}
        try:
            return distribution(content.family, **folded)
        except ValueError as error:
            raise ValueError(f"{place}: {error}, with {self.chosen}") from error

    def _folded(self, content: Expression | float) -> Expression | float:
        """The expression as a number, where it reads nothing but numbers and parameters."""
        if isinstance(content, Parameter):
            return self.chosen[content.name]
        if isinstance(content, Call):
            arguments = tuple(self._folded(argument) for argument in content.arguments)
            if all(isinstance(argument, float) for argument in arguments):
                return evaluate_constant(Call(content.function, arguments))
            return Call(content.function, arguments)
        return content

    def _bytecode(self, expression: Expression | float) -> int:
        """Where the code of an expression begins."""
        start = len(self.bytecode)
        deepest = self._push(expression, 0)
        if deepest > STACK:
            raise ValueError(f"the expression {expression} is nested deeper than {STACK}; assign a part of it first")
        self._emit(Code.END)
        return start

    def _emit(self, code: Code, argument: int = 0, constant: float = 0.0) -> None:
        self.bytecode.append((code, argument))
        self.constants.append(constant)

    def _push(self, expression: Expression | float, depth: int) -> int:
        """Emit the code of an expression; the deepest stack on the way."""
        folded = self._folded(expression)
        if isinstance(folded, float):
            self._emit(Code.CONSTANT, constant=folded)
        elif isinstance(folded, State):
            if folded.kind == "attribute":
                self.attributes.setdefault(folded.name, math.nan)
            tables: dict[str, list[str]] = {
                "attribute": list(self.attributes), "queue_length": self.resources, "busy": self.resources,
                "free": self.resources, "capacity": self.resources, "in_process": self.processes,
                "level": self.containers, "item": list(self.fields),
            }  # fmt: skip
            table = tables.get(folded.kind)
            self._emit(Code[folded.kind.upper()], table.index(folded.name) if table else 0)
        else:
            assert isinstance(folded, Call)
            deepest = depth + 1
            for position, argument in enumerate(folded.arguments):
                deepest = max(deepest, self._push(argument, depth + position))
            self._emit(Code[folded.function.upper()])
            return deepest
        return depth + 1


def evaluate_constant(expression: Call) -> float:
    """The value of a function of numbers."""
    return apply(Code[expression.function.upper()], *[float(a) for a in expression.arguments if isinstance(a, float)])


def _integers(rows: Any, width: int) -> np.ndarray:
    return np.array(rows, np.int64).reshape(-1, width)
