"""Who has said Hello to the scheduler, in which life, and who else may. Rules, with no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from psdist.wire.messages import ANY_RANK, Hello

from .membership import who
from .shard import Destination

__all__ = ["Process", "Roster"]


@dataclass(slots=True)
class Process:
    """A process that has said Hello and was let in."""

    hello: Hello
    sender: Destination
    given: int  # its rank; ANY_RANK until it is given out
    heard_at: float
    state: Literal["joining", "alive", "left", "dead"] = "joining"
    joined: int = 1  # the epoch of its first View
    epoch: int = 0  # of the View that it has, as it last said
    why: str = ""  # it is dead, or was let go
    is_dismissed: bool = False  # it was let go, and has not said that it heard so
    step: int = 0
    nbytes: int = 0
    num_keys: int = 0

    @property
    def role(self) -> str:
        return self.hello.role

    @property
    def rank(self) -> int:
        """Its rank, or until one is given out, the one that it wants."""
        return self.given if self.given >= 0 else self.hello.rank

    @property
    def here(self) -> bool:
        return self.state in ("joining", "alive")

    @property
    def name(self) -> str:
        return who(self.role, self.rank)


class Roster:
    """The processes of a job, in the order they came."""

    def __init__(self, num_workers: int, num_servers: int) -> None:
        self.wanted = {"worker": num_workers, "server": num_servers}  # at the beginning
        self._all: list[Process] = []
        self._by_sender: dict[Destination, Process] = {}

    def __iter__(self) -> Iterator[Process]:
        return iter(self._all)

    def add(self, process: Process) -> None:
        """One has come."""
        self._all.append(process)
        self._by_sender[process.sender] = process

    def remove(self, process: Process) -> None:
        """As if it had never come."""
        self._all.remove(process)
        if self._by_sender.get(process.sender) is process:
            del self._by_sender[process.sender]

    def forget_older(self, process: Process) -> None:
        """The older lives of its rank are over, and of no interest to anybody."""
        self._all = [
            p for p in self._all if p is process or p.here or (p.role, p.rank) != (process.role, process.rank)
        ]

    def by_sender(self, sender: Destination) -> Process | None:
        """Whose connection that is."""
        return self._by_sender.get(sender)

    def reconnect(self, process: Process, sender: Destination, now: float) -> None:
        """It has said Hello again, on another connection."""
        self._by_sender.pop(process.sender, None)
        process.sender, process.heard_at = sender, now
        self._by_sender[sender] = process

    def known(self, hello: Hello) -> Process | None:
        """The process that says this, if it was let in; who has left may have to ask again whether that was heard."""
        found = next((p for p in self._all if p.hello.token == hello.token and p.state != "dead"), None)
        return found if found is not None and found.role == hello.role else None

    def was_taken_for_dead(self, hello: Hello) -> bool:
        """Whether the process that says this was given up."""
        return any(p.hello.token == hello.token and p.state == "dead" for p in self._all)

    def at(self, role: str, rank: int) -> Process | None:
        """Who has, had or wants a rank."""
        return next((p for p in self._all if p.role == role and p.rank == rank), None)

    def of(self, role: str) -> list[Process]:
        """The processes of a role that are here."""
        return [p for p in self._all if p.role == role and p.here]

    @property
    def servers(self) -> set[int]:
        """The ranks of the servers that are here."""
        return {p.given for p in self.of("server")}

    @property
    def is_complete(self) -> bool:
        """Whether all have come with whom the job begins."""
        return all(len(self.of(role)) == num for role, num in self.wanted.items())

    # --- ranks ------------------------------------------------------------------------------------

    def assign(self, role: str) -> dict[int, Process]:
        """Ranks for those who are here: first what was wanted, then the free ones in order of arrival."""
        here = self.of(role)
        ranks = {p.hello.rank: p for p in here if p.hello.rank >= 0}
        free = (rank for rank in range(self.wanted[role]) if rank not in ranks)
        ranks.update({next(free): p for p in here if p.hello.rank < 0})
        return ranks

    def free_rank(self, role: str, num_servers: int) -> int:
        """For one that comes to a running job, in which there should be so many servers."""
        if role == "server":
            return min(set(range(num_servers)) - self.servers, default=0)
        # a rank nobody has had, since whoever had one before may still be known to servers
        return max((p.given for p in self._all if p.role == role), default=-1) + 1

    def missing(self) -> str:
        """Who has not come, in words."""
        missing, counts = [], []
        for role, num in self.wanted.items():
            there = self.assign(role)
            missing += [f"{role} {rank}" for rank in range(num) if rank not in there]
            counts.append(f"{len(there)} of {num} {role}s came")
        shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        return f"missing {shown} ({', '.join(counts)})"

    # --- who may join -----------------------------------------------------------------------------

    def why_not(
        self,
        job: str,
        hello: Hello,
        *,
        is_running: bool,
        num_servers: int,
        most_workers: int | None,
        is_replaced: bool,
    ) -> str:
        """Why this newcomer cannot join; "" when it can. `num_servers`: that there should be now. `most_workers`: of
        an elastic job, else None. `is_replaced`: the job goes on when one of this role dies, and takes another."""
        role, num = hello.role, self.wanted[hello.role]
        is_elastic = is_running and role == "worker" and most_workers is not None
        if is_elastic and most_workers is not None:
            num = max(num, most_workers)
        if is_running and role == "server":
            num = num_servers
        name = who(role, hello.rank)
        is_back = not is_running and hello.epoch > 0  # to a scheduler that was started again
        if hello.rank < ANY_RANK or (hello.rank >= num and not is_back):
            return f"{name} wants to join, but job {job!r} has {role}s 0 to {num - 1}"
        if hello.rank >= 0:
            lives = [p for p in self._all if p.role == role and p.rank == hello.rank]
            for p in lives:
                there = p.hello.incarnation
                if hello.incarnation < there:
                    return f"{name}: incarnation {hello.incarnation} is over; incarnation {there} has joined"
                if p.here:
                    return (
                        f"{name} has joined already (incarnation {there}), and this is another process "
                        f"(incarnation {hello.incarnation}); two cannot have one rank"
                    )
            if is_running and is_replaced:
                if hello.incarnation > max((p.hello.incarnation for p in lives), default=-1):
                    return ""
                return (
                    f"{name} has left or was taken for dead, and the job has gone on without incarnation "
                    f"{hello.incarnation}; a new process in its place needs a higher PSDIST_INCARNATION"
                )
        if is_elastic:
            if len(self.of("worker")) < (most_workers or 0):
                return ""
            return f"job {job!r} has {most_workers} workers, and --elastic allows no more"
        if is_running and role == "server" and len(self.servers) < num:
            return ""
        if is_running or (len(self.of(role)) >= num and not is_back):
            return f"job {job!r} has its {num} {role}s already; one more {role} came"
        return ""
