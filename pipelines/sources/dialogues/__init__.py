"""Readers of dialogues, one file a format.

One convention for all (`turns.py`): a turn is one line, `Speaker: text`, the speaker as the source names it, blanks
and line ends within a turn one blank; a turn without text is left out. What a participant does is `* Speaker text`.

`json_dialogues.py` reads arrays and objects of dialogues in JSON (Schema-Guided Dialogue, Taskmaster, Topical-Chat
and any other field names), `switchboard.py` telephone transcripts, `irc.py` channel logs, `nps_chat.py` chat-room
sessions in XML, `chatterbot.py` the YAML files of chatterbot-corpus.
"""
