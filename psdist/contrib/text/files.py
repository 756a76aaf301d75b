"""Files of vectors: how one is read, and which the projects that trained them published."""

from __future__ import annotations

import os
import warnings
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray as Array

from ...errors import BadArgument, ConfigError

__all__ = ["FASTTEXT", "GLOVE", "Vectors", "read"]

GLOVE = (
    "glove.42B.300d.txt",
    *(f"glove.6B.{n}d.txt" for n in (50, 100, 200, 300)),
    "glove.840B.300d.txt",
    *(f"glove.twitter.27B.{n}d.txt" for n in (25, 50, 100, 200)),
)

_WIKIPEDIAS = """
aa ab ace ady af ak als am ang an arc ar arz ast as av ay azb az bar bat_smg ba bcl be bg bh bi bjn bm bn bo bpy
br bs bug bxr ca cbk_zam cdo ceb ce cho chr ch chy ckb co crh cr csb cs cu cv cy da de diq dsb dv dz ee el eml en
eo es et eu ext fa ff fiu_vro fi fj fo frp frr fr fur fy gag gan ga gd glk gl gn gom got gu gv hak ha haw he hif
hi ho hr hsb ht hu hy hz ia id ie ig ii ik ilo io is it iu jam ja jbo jv kaa kab ka kbd kg ki kj kk kl km kn koi
ko krc kr ksh ks ku kv kw ky lad la lbe lb lez lg lij li lmo ln lo lrc ltg lt lv mai map_bms mdf mg mhr mh min mi
mk ml mn mo mrj mr ms mt multi.ar multi.bg multi.ca multi.cs multi.da multi.de multi.el multi.en multi.es multi.et
multi.fi multi.fr multi.he multi.hr multi.hu multi.id multi.it multi.mk multi.nl multi.no multi.pl multi.pt
multi.ro multi.ru multi.sk multi.sl multi.sv multi.tr multi.uk multi.vi mus mwl my myv mzn nah nap na nds_nl nds
ne new ng nl nn no nov nrm nso nv ny oc olo om or os pag pam pap pa pcd pdc pfl pih pi pl pms pnb pnt ps pt qu rm
rmy rn roa_rup roa_tara ro rue ru rw sah sa scn sco sc sd se sg sh simple si sk sl sm sn so sq srn sr ss stq st su
sv sw szl ta tcy tet te tg th ti tk tl tn to tpi tr ts tt tum tw ty tyv udm ug uk ur uz vec vep ve vi vls vo war
wa wo wuu xal xh xmf yi yo za zea zh_classical zh_min_nan zh zh_yue zu
""".split()
FASTTEXT = (
    "crawl-300d-2M.vec",
    *(f"wiki.{code}.vec" for code in _WIKIPEDIAS),
    "wiki-news-300d-1M-subword.vec",
    "wiki-news-300d-1M.vec",
)


@dataclass(frozen=True)
class Vectors:
    """What a file holds."""

    tokens: list[str]  # in the file's order, each once
    vectors: Array[Any]  # (tokens, length), float32
    unknown: Array[Any] | None  # the vector of the unknown token, if the file has one


def read(path: str | os.PathLike[str], delim: str, encoding: str, unknown_token: Any) -> Vectors:
    """The vectors of a text file.

    A line of one number behind the token is a heading, and is left out with a warning; so is a token that came before.
    Raises ConfigError where there is no file, no vector, or no number; BadArgument for a line without a vector or with
    one of another length.
    """
    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        raise ConfigError(f"{path} is no file; wanted one of a token and its vector a line")
    tokens: dict[str, None] = {}  # in order
    flat = array("f")  # their vectors one behind the other: files have hundreds of millions of numbers
    unknown: list[float] | None = None
    length = 0
    with open(path, encoding=encoding) as f:
        for number, line in enumerate(f, 1):
            token, *texts = line.rstrip().split(delim)
            here = f"{path}, line {number}: token {token!r}"
            if not texts:
                raise BadArgument(f"{here} has no vector; are {delim!r} between a line's numbers?")
            if len(texts) == 1:
                warnings.warn(
                    f"{here} has one number, as a heading would; left out", UserWarning, stacklevel=4
                )
                continue
            if token in tokens or (token == unknown_token and unknown is not None):
                warnings.warn(f"{here} came before; left out", UserWarning, stacklevel=4)
                continue
            if length and len(texts) != length:
                raise BadArgument(f"{here} has {len(texts)} numbers; the lines before it have {length}")
            length = len(texts)
            try:
                vector = [float(text) for text in texts]
            except ValueError as e:
                raise ConfigError(f"{here}: {e}") from e
            if token == unknown_token:
                unknown = vector
            else:
                tokens[token] = None
                flat.extend(vector)
    if not length:
        raise ConfigError(f"{path} has no vectors; wanted a token and its numbers a line")
    return Vectors(
        list(tokens),
        np.array(flat, np.float32).reshape(-1, length),
        None if unknown is None else np.array(unknown, np.float32),
    )
