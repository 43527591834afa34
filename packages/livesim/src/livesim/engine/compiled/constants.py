"""Members of the program's enumerations as plain integers: Numba reads a member as an object."""

from livesim.compiler.program import (
    ENDLESS,
    FRUITLESS,
    LET_GO,
    Action,
    Class,
    ClockKind,
    Discipline,
    Fault,
    Mode,
    Op,
    Policy,
    SourceKind,
    Status,
    Then,
)
from livesim.random import Kind

HOLD, SEIZE, RELEASE, DEPART, DECIDE, BRANCH, CHOOSE, JUMP, ASSIGN, LOOP, RECORD = map(int, list(Op)[:11])
BATCH, UNBATCH, SPLIT, COMBINE, SIGNAL, WAIT, PUT, GET, PUT_ITEM, GET_ITEM = map(int, list(Op)[11:])
DONE, NO_JOBS, NO_CALENDAR, NO_TRACE, PAUSED, ERROR, NO_ITEMS = map(int, Status)
BAD_TIME, BAD_UNITS, NOT_HELD, STILL_HELD, BAD_NUMBER, BAD_COUNT, BAD_AMOUNT, BAD_PROBABILITY, IS_ENDLESS = map(
    int, list(Fault)[1:]
)
DID_ARRIVE, DID_WAIT, DID_GO, DID_HOLD, DID_RELEASE, DID_INTERRUPT, DID_RENEGE, DID_SPLIT, DID_COMBINE = map(
    int, list(Action)[:9]
)
DID_DEPART, DID_CAPACITY = map(int, list(Action)[9:])
CLASS_CAPACITY, CLASS_RELEASING, CLASS_ENDING, CLASS_PATIENCE, CLASS_ARRIVAL = map(int, Class)
ARRIVAL_SHIFTED = CLASS_ARRIVAL << 60
CONSTANT, EXPONENTIAL, TRACE = int(Kind.CONSTANT), int(Kind.EXPONENTIAL), int(Kind.TRACE)
FIFO, LIFO, BY_VALUE = map(int, Discipline)
FINISH, RESUME, RESTART, RESAMPLE = map(int, Mode)
ALL, FIRST_AVAILABLE, SHORTEST_QUEUE, ROUND_ROBIN, RANDOM = map(int, Policy)
EVERY, AT, RATE = map(int, SourceKind)
STOP, REPEAT, KEEP = map(int, Then)
SCHEDULE, FAILURE = map(int, ClockKind)
MOST_STEPS, MOST_FRUITLESS, MOST_LET_GO = ENDLESS, FRUITLESS, LET_GO
