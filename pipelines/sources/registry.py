"""The readers by the name that a configuration gives them. Importing this imports no heavy library."""

from __future__ import annotations

from pipelines.sources.dialogues.chatterbot import ChatterbotReader
from pipelines.sources.dialogues.irc import IrcReader
from pipelines.sources.dialogues.json_dialogues import (
    JsonDialoguesReader,
    SchemaGuidedReader,
    TaskmasterReader,
    TopicalChatReader,
)
from pipelines.sources.dialogues.nps_chat import NpsChatReader
from pipelines.sources.dialogues.switchboard import SwitchboardReader
from pipelines.sources.html import HtmlReader
from pipelines.sources.jsonl import JsonLinesReader
from pipelines.sources.mail.mbox import MboxReader
from pipelines.sources.mediawiki import MediaWikiReader
from pipelines.sources.parquet import ParquetReader
from pipelines.sources.reader import Reader
from pipelines.sources.reuters import ReutersReader
from pipelines.sources.stack_exchange import StackExchangeReader
from pipelines.sources.text import TextReader
from pipelines.sources.warc import WarcReader

READERS: dict[str, type[Reader]] = {
    "chatterbot": ChatterbotReader,
    "dialogues": JsonDialoguesReader,
    "html": HtmlReader,
    "irc": IrcReader,
    "jsonl": JsonLinesReader,
    "mbox": MboxReader,
    "mediawiki": MediaWikiReader,
    "nps_chat": NpsChatReader,
    "parquet": ParquetReader,
    "reuters": ReutersReader,
    "schema_guided": SchemaGuidedReader,
    "stackexchange": StackExchangeReader,
    "switchboard": SwitchboardReader,
    "taskmaster": TaskmasterReader,
    "text": TextReader,
    "topical_chat": TopicalChatReader,
    "warc": WarcReader,
}
