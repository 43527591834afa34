"""Models that between them use every verb, shared by the tests."""

from livesim import (
    Model,
    age,
    arrive,
    assign,
    attribute,
    balk,
    batch,
    busy,
    combine,
    decide,
    depart,
    exponential,
    failures,
    floor,
    free,
    get,
    hold,
    in_process,
    item,
    jump,
    label,
    level,
    loop,
    maximum,
    now,
    param,
    put,
    queue_length,
    record,
    release,
    renege,
    route,
    schedule,
    seize,
    signal,
    split,
    transport,
    triangular,
    unbatch,
    uniform,
    wait,
    where,
)  # fmt: skip


def barbershop(arrival: float = 18.0, service: float = 16.0) -> Model:
    return (
        Model("barbershop")
        .resource("barber")
        .process(
            "customer",
            arrive(every=exponential(mean=arrival)),
            seize("barber"),
            hold(exponential(mean=param("service", service))),
            release("barber"),
            depart(),
        )
    )


def rework() -> Model:
    return (
        Model("rework")
        .resource("machine", 3)
        .resource("repairer")
        .process(
            "part",
            arrive(every=exponential(mean=4.0)),
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


def job_shop() -> Model:
    model = Model("job shop")
    steps = []
    for stage, mean in enumerate((8.0, 6.0, 10.0, 5.0, 7.0)):
        model.resource(f"stage {stage}", 2)
        steps += [seize(f"stage {stage}"), hold(exponential(mean=mean)), release(f"stage {stage}")]
    return model.process("job", arrive(every=exponential(mean=4.0)), *steps, depart())


def clinic() -> Model:
    """Priorities, patience, balking, several units, several resources at once, one of several, attributes."""
    return (
        Model("clinic")
        .resource("nurse", 3)
        .resource("room", 2, discipline="lifo")
        .resource("doctor", 2, discipline=attribute("severity"))
        .resource("desk a")
        .resource("desk b")
        .process(
            "patient",
            arrive(every=exponential(mean=3.0), batch=2),
            assign(severity=uniform(0, 10), visits=0),
            balk(queue_length("nurse") + in_process("patient") > 30, "left"),
            seize("desk a", "desk b", policy="shortest_queue"),
            hold(uniform(0.5, 1.5)),
            release("desk a", "desk b"),
            label("again"),
            assign(visits=attribute("visits") + 1),
            renege(exponential(mean=20.0), "gave up"),
            seize("nurse", units=where(attribute("severity") > 7, 2, 1), priority=floor(attribute("severity") / 4)),
            hold(triangular(1, 2, 4)),
            release("nurse"),
            renege(30.0, "gave up"),
            seize("nurse", "room", "doctor"),
            hold(exponential(mean=1 + attribute("severity") / 5)),
            release("room", "doctor"),
            release("nurse", units=1),
            decide((attribute("visits") < 3) & (attribute("severity") > 5), "again"),
            decide({"left": 0.7, "home": 0.3}),
            label("gave up"),
            record("gave up after", age()),
            depart(),
            label("home"),
            route(uniform(10, 20)),
            label("left"),
            record("free desks", free("desk a") + free("desk b")),
            depart(),
        )
    )


def workshop() -> Model:
    """Preemption, schedules, failures; a varying rate; loops; whole times, so that much happens at once."""
    return (
        Model("workshop")
        .resource("saw", 2, preemption="resume", failures=failures(up=exponential(mean=50), down=uniform(2, 8)))
        .resource("lathe", schedule([(0, 8, 3), (8, 16, 1), (16, 24, 0)], then="repeat", jobs="restart"))
        .resource("press", preemption="resample", failures=failures(up=40, down=5, jobs="finish"))
        .resource(
            "polish", schedule([(0, 100, 2), (100, 150, 1)], then="keep"), preemption="restart", discipline="lifo"
        )
        .process(
            "normal",
            arrive(rate=[(0, 8, 0.5), (8, 16, 0.2), (16, 24, 0)], then="repeat"),
            assign(lot=uniform(0, 3)),
            label("more"),
            seize("saw", priority=2),
            hold(uniform(1, 3)),
            release("saw"),
            loop("more", times=2),
            seize("lathe"),
            hold(2),
            hold(uniform(0, 2)),
            release("lathe"),
            seize("press", priority=attribute("lot")),
            hold(exponential(mean=2.0)),
            release("press"),
            seize("polish", priority=2),
            hold(1),
            release("polish"),
            decide(0.2, "more"),
            depart(),
        )
        .process(
            "rush",
            arrive(every=7, batch=1),
            seize("saw", "press", priority=1),
            hold(1),
            release("saw"),
            hold(1),
            release("press"),
            seize("saw", units=2, priority=1),
            seize("polish", priority=0),
            hold(1),
            release("saw", "polish"),
            depart(),
        )
    )


def factory() -> Model:
    """Jobs that come together and part, conveyors, signals, containers."""
    return (
        Model("factory")
        .resource("cutter", 2)
        .resource("packer")
        .conveyor("belt", length=10, speed=4, capacity=3)
        .container("tank", capacity=40, initial=10)
        .process(
            "sheet",
            arrive(every=exponential(mean=4.0)),
            seize("cutter"),
            hold(uniform(1, 3)),
            release("cutter"),
            split(3),
            assign(width=uniform(0, 1)),
            route(exponential(mean=2.0)),
            get("tank", attribute("width") * 3),
            combine(),
            transport("belt"),
            batch(4),
            batch(2),
            seize("packer"),
            hold(1.5),
            release("packer"),
            unbatch(),
            decide(0.5, "together"),
            unbatch(),
            label("together"),
            record("level", level("tank")),
            depart(),
        )
        .process(
            "supply",
            arrive(at=[1, 2, 2, 50, 100]),
            label("fill"),
            renege(25, "signal"),
            put("tank", uniform(5, 20)),
            label("signal"),
            signal("shift"),
            hold(10),
            jump("fill"),
        )
        .process(
            "visitor",
            arrive(every=uniform(1, 9), first=0, limit=60),
            renege(exponential(mean=8.0), "bored"),
            wait("shift"),
            split(2, "bored"),
            split(2, "copy"),
            combine(2),
            depart(),
            label("copy"),
            hold(maximum(1, busy("cutter"))),
            label("bored"),
            decide(now() > 300, "late"),
            label("late"),
            combine(3),
            depart(),
        )
    )


def warehouse() -> Model:
    """Stores: conditions, orders, little room, patience, items at the start."""
    return (
        Model("warehouse")
        .resource("clerk", 2)
        .store("dock", capacity=4)
        .store("shelf", capacity=30, discipline=item("due"), initial=[{"due": 5, "size": 1}, {"due": 2, "size": 2}])
        .store("pile", discipline="lifo")
        .process(
            "truck",
            arrive(every=exponential(mean=3.0), batch=2),
            assign(load=uniform(0, 10)),
            renege(uniform(5, 30), "away"),
            put("dock", item={"size": attribute("load") + now() / 100, "due": uniform(0, 50)}),
            decide(0.3, "away"),
            put("pile", item={"size": uniform(0, 5)}),
            label("away"),
            depart(),
        )
        .process(
            "porter",
            arrive(at=[0, 0, 1]),
            label("next"),
            get("dock", into={"size": "size", "due": "due"}),
            hold(uniform(0.5, 2)),
            put("shelf", item={"size": attribute("size"), "due": attribute("due")}),
            jump("next"),
        )
        .process(
            "order",
            arrive(every=exponential(mean=2.0)),
            assign(least=uniform(0, 9)),
            seize("clerk"),
            renege(exponential(mean=20.0), "nothing"),
            get("shelf", where=(item("size") >= attribute("least")) & (item("due") > 1), into={"got": "size"}),
            hold(attribute("got") / 5),
            record("size", attribute("got")),
            label("nothing"),
            release("clerk"),
            record("on the shelf", level("shelf")),
            get("pile", where=where(attribute("least") > 5, item("size") > 2, 1)),
            depart(),
        )
    )


EVERY = (barbershop, rework, job_shop, clinic, workshop, factory, warehouse)
