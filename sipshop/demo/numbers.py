"""What the demo carrier does with a number: the end of the number says it.

...486    is busy
...503    refuses with 503, no circuit available
...404    refuses with 404, unallocated number
...408    rings and never answers
...183    sends early media (183 and the tone) for 2 s, then answers
...199    answers late, after 10 s
...777    answers and echoes what it hears
...800    answers and hangs up after 2 s
...112    answers at once, as an emergency centre does; 110 too
the rest  rings, answers after 1 s and sends a tone of 440 Hz
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How a call goes.

    `ending` is the end of the numbers that it is for, `says` what people read about it. `refuse` is the status of a
    refusal and `cause` its Q.850 cause (ITU-T Q.850 table 1). Otherwise the call rings, with sound if `early_media`,
    is answered `answer_after_s` after it came (None: never) and is hung up by us `talk_s` after its ACK (None: not
    by us). Who is answered hears the tone, or himself if `echo`.
    """

    ending: str
    says: str
    refuse: int | None = None
    cause: int | None = None
    early_media: bool = False
    answer_after_s: float | None = 1.0
    talk_s: float | None = None
    echo: bool = False


NUMBERS: Final = (
    Script(ending="486", says="is busy", refuse=486, cause=17),
    Script(ending="503", says="refuses with 503, no circuit available", refuse=503, cause=34),
    Script(ending="404", says="refuses with 404, unallocated number", refuse=404, cause=1),
    Script(ending="408", says="rings and never answers", answer_after_s=None),
    Script(
        ending="183",
        says="sends early media (183 and the tone) for 2 s, then answers",
        early_media=True,
        answer_after_s=2,
    ),
    Script(ending="199", says="answers late, after 10 s", answer_after_s=10),
    Script(ending="777", says="answers and echoes what it hears", echo=True),
    Script(ending="800", says="answers and hangs up after 2 s", talk_s=2),
    Script(ending="112", says="answers at once, as an emergency centre does; 110 too", answer_after_s=0),
    Script(ending="110", says="answers at once, as an emergency centre does; 112 too", answer_after_s=0),
    Script(ending="", says="rings, answers after 1 s and sends a tone of 440 Hz"),
)


def script_for(number: str) -> Script:
    """The script of a number: the first of `NUMBERS` whose ending it has; the last has an empty one.

    >>> script_for("+4930123486").refuse
    486
    """
    return next(script for script in NUMBERS if number.endswith(script.ending))
