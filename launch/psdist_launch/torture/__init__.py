"""A seeded world in which the real rules of scheduler, servers and workers live through faults.

    scenario   what a seed means: sizes, mode, keys, programs, faults
    world      one schedule from its seed: builds everything, runs it, says how it ended
    clock      virtual time           network   late, broken and divided connections, with ZeroMQ's semantics
    processes  the rules, driven as the real loops drive them; they crash, stop and lose replies
    program    what a worker trains   faults    what goes wrong, and when
    disk       tears, fills up, lies
    injector   does it                intruder   a stranger, who does not belong
    oracle     what must hold         runner    many seeds on several cores      report    words for people

Nothing here opens a socket, reads a clock or sleeps, and all that is drawn comes from one `random.Random(seed)`:
a seed is a schedule, for ever. This is the one place that imports the rules of both roles.
"""
