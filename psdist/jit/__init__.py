"""The optional compiler, `psdist[jit]`: loops over arrays as machine code, through llvmlite.

NumPy makes one trip over memory for every operation; a compiled loop makes one for all of them. It is used by
itself where llvmlite is installed, unless PSDIST_JIT=0, and never needed: whoever asks for a kernel has a way
without it. From below: `engine` turns LLVM's language into functions, `lanes` writes arithmetic over vectors in it, and
`loops` puts that into loops. `executor.fused` and `optimizer.traced` say what is computed.
"""

from .engine import Engine, available, engine

__all__ = ["Engine", "available", "engine"]
