"""The adjectives of English sentences, by HanTa's tagger of parts of speech (extra `bias`), whose wheel has its model.

In: a text. Out: its adjectives, lower-cased, in order. Tags are those of the British National Corpus: AJ0, AJC and AJS
are adjectives, their comparatives and superlatives.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from pipelines.store.errors import GlamError

ADJECTIVE = "AJ"
_MODEL = "morphmodel_en.pgz"
_WORDS = re.compile(r"\w+(?:[-'’]\w+)*|[^\w\s]")


@cache
def adjective_finder() -> Callable[[str, int], list[str]]:
    """Return the function that finds the adjectives of a text (its first argument) from one of its characters on.

    Raises:
        GlamError: when the tagger is not installed.
    """
    try:
        from HanTa.HanoverTagger import HanoverTagger
    except ImportError as error:
        raise GlamError("adjectives are found by the package HanTa; install it: pip install 'glam[bias]'") from error
    tagger = HanoverTagger(_MODEL)

    def find(text: str, start: int = 0) -> list[str]:
        places = list(_WORDS.finditer(text))
        tags = tagger.tag_sent([place.group() for place in places], taglevel=0)
        return [
            place.group().lower()
            for place, tag in zip(places, tags, strict=True)
            if place.start() >= start and tag.startswith(ADJECTIVE)
        ]

    return find
