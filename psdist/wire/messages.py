"""Every message of the protocol: those of membership.py, values.py and copies.py, and the few that all three need.

A message is a numbered frozen dataclass; its docstring says meaning, reply and errors. A request begins
with `seq`, and has exactly one reply, which begins with the same `seq`: the one named in its docstring, or
`Error`. What has no `seq` (`View`, `Alive`, `Abort`, `Finish`) is told, not asked, and not answered.

Arrays travel flat, as *slices* of a key: (key, offset, elements). Batches are columns: the i-th of `keys`,
`offsets`, `clocks` and `values` belong together, so that ten thousand small keys are one header and one
frame. Clocks count from 0: the first push of a key is round 0, and a key's clock is the number of rounds
applied, so that a worker that has pushed `n` rounds and wants to see them pulls with `min_clock = n`.

Numbers are never reused: 40-59 are kept for copies, 60-69 for snapshots, 70-79 for migration, 80-89
for shared memory. Whoever adds a message also adds its row to docs/PROTOCOL.md, which a test compares with
the code. The fields of `Hello` up to `version` stand for ever; everything else may change with `VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .. import errors
from .copies import (
    CopyEnd,
    CopyRows,
    CopySettings,
    CopySlices,
    Replicate,
    ReplicateRequest,
    ReplicateRows,
    Synced,
)
from .kinds import (
    ACK_APPLIED,
    ACK_ON_DISK,
    ACK_REPLICATED,
    ANY_RANK,
    MAX_ROUNDS_AHEAD,
    MESSAGES,
    NOBODY,
    SENDERS,
    VERSION,
    ErrorCode,
    Ints,
    Numbers,
    Role,
    Tensor,
    Tensors,
    error_class,
    key_label,
    key_name,
    key_number,
    message,
)
from .membership import (
    Abort,
    Alive,
    Barrier,
    Finish,
    Handed,
    Hello,
    Leave,
    Lost,
    Member,
    MemberStatus,
    Placement,
    Scale,
    Status,
    StatusReport,
    View,
    Welcome,
    placements,
)
from .values import (
    Begin,
    Clocks,
    GetPortions,
    GetState,
    Init,
    InitRows,
    Join,
    Portions,
    Pull,
    PullChange,
    PullRows,
    Push,
    PushPull,
    PushRows,
    RowValues,
    SetHyper,
    SetOptimizer,
    SetPullCode,
    SetStaleness,
    SetState,
    States,
    Values,
)

__all__ = [
    "ACK_APPLIED",
    "ACK_ON_DISK",
    "ACK_REPLICATED",
    "ANY_RANK",
    "MAX_ROUNDS_AHEAD",
    "MESSAGES",
    "NOBODY",
    "SENDERS",
    "VERSION",
    "Abort",
    "Alive",
    "Barrier",
    "Begin",
    "Clocks",
    "CopyEnd",
    "CopyRows",
    "CopySettings",
    "CopySlices",
    "Done",
    "Error",
    "ErrorCode",
    "Finish",
    "GetPortions",
    "GetState",
    "Handed",
    "Hello",
    "Init",
    "InitRows",
    "Ints",
    "Join",
    "Leave",
    "Lost",
    "Member",
    "MemberStatus",
    "Message",
    "Numbers",
    "Placement",
    "Portions",
    "Pull",
    "PullChange",
    "PullRows",
    "Push",
    "PushPull",
    "PushRows",
    "Replicate",
    "ReplicateRequest",
    "ReplicateRows",
    "Role",
    "RowValues",
    "Scale",
    "SetHyper",
    "SetOptimizer",
    "SetPullCode",
    "SetStaleness",
    "SetState",
    "Share",
    "States",
    "Status",
    "StatusReport",
    "Synced",
    "Tensor",
    "Tensors",
    "Values",
    "View",
    "Welcome",
    "error_class",
    "key_label",
    "key_name",
    "key_number",
    "placements",
]

# --- memory that is shared, when both are on one host ---------------------------------------------


@message(80, senders="worker server")
@dataclass(frozen=True, slots=True)
class Share:
    """The sender's memory, which the receiver may map and read. A worker says it when a server has welcomed
    it; if the server can map that, it answers by Share of its own, and from then on arrays of more than 8192
    bytes may travel both ways as places (see Memory). `turn` is drawn anew for each agreement, and both
    answers have the same. `lane` is the name of the server's socket for short messages (see Lanes), "" where
    there is none, and from a worker. Reply: Share. Errors: unsupported."""

    seq: int
    turn: int
    host: str
    pid: int
    fd: int
    nbytes: int
    token: int
    counter: int
    lane: str = ""


# --- replies that many share ----------------------------------------------------------------------


@message(90, senders="scheduler server")
@dataclass(frozen=True, slots=True)
class Done:
    """It is done. For a push `ack` states its durability; else 0."""

    seq: int
    ack: int


@message(91, senders="scheduler server")
@dataclass(frozen=True, slots=True)
class Error:
    """Understood and refused: nothing was changed. `seq` is -1 where the request's could not be read."""

    seq: int
    code: ErrorCode
    text: str

    def to_exception(self) -> errors.PSError:
        """The error to raise at the caller."""
        return error_class(self.code)(self.text)


Message = (
    Hello
    | Welcome
    | View
    | Alive
    | Init
    | Push
    | Pull
    | PullChange
    | PushPull
    | Values
    | InitRows
    | PushRows
    | PullRows
    | RowValues
    | SetOptimizer
    | SetHyper
    | SetStaleness
    | SetPullCode
    | GetState
    | States
    | GetPortions
    | Portions
    | SetState
    | Join
    | Clocks
    | Begin
    | Barrier
    | Leave
    | Lost
    | Abort
    | Finish
    | Status
    | StatusReport
    | CopySettings
    | CopySlices
    | Replicate
    | ReplicateRequest
    | CopyRows
    | ReplicateRows
    | CopyEnd
    | Synced
    | Scale
    | Handed
    | Share
    | Done
    | Error
)
